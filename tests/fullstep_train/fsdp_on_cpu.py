"""A training process under FSDP 2 without a GPU, where accelerate would leave FSDP out: it is told that this is one.

accelerate launch --config_file fsdp2.yaml -m tests.fullstep_train.fsdp_on_cpu JOB      # for tests/fullstep_train/test_launch.py
"""

import sys
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import DistributedType
from torch.distributed.fsdp import FSDPModule

from fullstep_train import launch
from fullstep_train.trainer import GroupTrainer

if __name__ == "__main__":
    state = PartialState(backend="gloo")
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    launch._state = lambda: state
    put_together = GroupTrainer.whole

    def whole(self: GroupTrainer, plain: object) -> object:
        """Sees that what is put together was in shares."""
        assert isinstance(self.model_wrapped, FSDPModule)
        return put_together(self, plain)  # type: ignore[arg-type]

    GroupTrainer.whole = whole  # type: ignore[method-assign]
    launch.work(Path(sys.argv[1]))
