"""Two processes that save a model under FSDP: `python -m tests.opening.sharded FOLDER`."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import multiprocessing, nn
from torch.distributed.checkpoint.state_dict import get_state_dict
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DeviceMesh, Shard, distribute_tensor

COLUMNS = torch.arange(12.0).reshape(3, 4)


def save(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 1))
    mesh = DeviceMesh("cpu", [0, 1])
    fully_shard(model, mesh=mesh)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model(torch.ones(3, 4)).sum().backward()
    optimizer.step()
    weights, states = get_state_dict(model, optimizer)
    columns = distribute_tensor(COLUMNS, mesh, [Shard(1)])
    held = {"model": weights, "optimizer": states, "columns": columns, "epoch": 3}
    dcp.save(held, checkpoint_id=f"{folder}/saved")
    whole = {name: value.full_tensor() for name, value in weights.items()}
    if rank == 0:
        torch.save(whole, Path(folder, "whole.pt"))
    dist.destroy_process_group()


if __name__ == "__main__":
    multiprocessing.spawn(save, (sys.argv[1],), nprocs=2)
