import pytest
from pydantic import ValidationError

from fullstep_data.workers import LOCAL, Crew, Local, OnRay, Workers, crew_at


def test_this_process_needs_no_crew_and_the_others_start_nobody_before_there_is_work():
    assert crew_at(LOCAL) is None
    assert crew_at(Local()) is None
    for place in (Workers(count=3), OnRay(address="10.255.255.1:6379")):
        crew = crew_at(place)
        assert isinstance(crew, Crew)
        crew.close()


@pytest.mark.parametrize("place", [Workers, OnRay])
def test_there_is_no_such_thing_as_no_workers(place: type[Workers | OnRay]):
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        place(count=0)
