"""The commands `fs-data` and `fs-train`: parse → typed recipe → one library call → render. Nothing else lives here.

    fs-data build tiny --out out/tiny        # cli.data
    fs-train run tiny --data out/tiny --out out/run   # cli.train

The only room that knows click and rich, and the only one that knows both layers: `cli.tools` hands fullstep_train's trainers and
scorer to the stages of fullstep_data.
"""

import importlib.util
import os
from pathlib import Path

_HOME = Path(__file__).resolve().parent.parent


def hidden_modules() -> dict[str, str]:
    """fullstep's other packages that something elsewhere on the path hides: {package: what Python would import instead}."""
    hidden: dict[str, str] = {}
    for package in ("schemas", "fullstep_data", "fullstep_train"):
        spec = importlib.util.find_spec(package)
        found = spec.origin or next(iter(spec.submodule_search_locations or ()), "") if spec else ""
        if not found or Path(found).resolve().parent != _HOME / package:
            hidden[package] = found or "nothing"
    return hidden


for _package, _found in hidden_modules().items():
    raise ImportError(
        f"fullstep needs its own package `{_package}` in {_HOME}, but Python finds {_found}: "
        "rename that module, or take its folder out of PYTHONPATH and the current directory"
    )

# Read when torch loads its threads: idle ones that spin beside another busy process make it several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
