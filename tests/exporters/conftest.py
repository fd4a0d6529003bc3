"""What the tests of all exporters share."""
import os

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """The networks are small: threads cost more than they bring, much more on a busy machine."""
    os.environ["OMP_NUM_THREADS"] = "1"  # for the exporters
    torch.set_num_threads(1)
