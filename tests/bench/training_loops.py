"""Trains one network, in turns by Headgate's own loop and by a DataLoader loop of the same steps. A process of its own.

Each line on standard input names the loop. Each line on standard output has what was done in it: the rows, the times
and the loss of the validation rows at the end. Both shuffle with the same generator, so their losses are comparable.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

from services.trainer.child.context import CheckpointFiles, TrainingContext
from services.trainer.child.training import LoadedModel, load_model, make_deterministic, train
from services.trainer.job import Job
from tests.bench.training import DATALOADER, HEADGATE

ROWS, FEATURES, EPOCHS, BATCH_SIZE, LEARNING_RATE, SEED = 20_000, 30, 3, 64, 0.05, 7
MODULE = f"""
import torch
from torch import nn

def network(context):
    return nn.Sequential(nn.Linear({FEATURES}, 64), nn.ReLU(), nn.Linear(64, 1), nn.Sigmoid())

def rows(count, seed):
    features = torch.randn(count, {FEATURES}, generator=torch.Generator().manual_seed(seed))
    return features, (features[:, 0] + features[:, 1] * features[:, 2] > 0).float()

def datasets(context):
    return {{"train": rows({ROWS}, 1), "validation": rows(2_000, 2), "test": rows(2_000, 3)}}
"""


def main() -> None:
    make_deterministic()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "benchmodel.py").write_text(MODULE)
        job = job_in(folder)
        print(json.dumps({"version": torch.__version__}), flush=True)
        loops: dict[str, Callable[[LoadedModel, Job], float]] = {HEADGATE: by_headgate, DATALOADER: by_dataloader}
        for line in sys.stdin:
            model = load_model(job)
            wall, cpu = time.perf_counter(), time.process_time()
            loss = loops[line.strip()](model, job)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            print(json.dumps({"rows": ROWS * EPOCHS, "wall_s": wall, "cpu_s": cpu, "loss": loss}), flush=True)


def by_headgate(model: LoadedModel, job: Job) -> float:
    files = CheckpointFiles(Path(job.checkout) / "checkpoint", Path(job.checkout) / "resume", job.checkpoint_seconds)
    context = TrainingContext(model.network, model.rows, job, files, lambda epoch: None, lambda epoch: None)
    train(context, model, job)
    return context.history[-1].validation_loss


def by_dataloader(model: LoadedModel, job: Job) -> float:
    """The loop of torch's own tutorials."""
    rows = TensorDataset(*model.rows["train"])
    loader = DataLoader(rows, batch_size=job.batch_size, sampler=Shuffled(job.seed))
    optimizer = torch.optim.SGD(model.network.parameters(), lr=job.learning_rate, momentum=job.momentum)
    loss_of = nn.BCELoss()
    for _ in range(job.epochs):
        model.network.train()
        for features, answers in loader:
            optimizer.zero_grad()
            loss = loss_of(model.network(features), answers.unsqueeze(1))
            loss.backward()
            optimizer.step()
        loss_after_epoch = validation_loss(model, loss_of)
    return loss_after_epoch


class Shuffled(Sampler[int]):
    """The rows in the order of Headgate's own loop. RandomSampler draws one more permutation in each epoch."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def __iter__(self) -> Iterator[int]:
        yield from torch.randperm(ROWS, generator=self._generator).tolist()

    def __len__(self) -> int:
        return ROWS


def validation_loss(model: LoadedModel, loss_of: nn.Module) -> float:
    model.network.eval()
    features, answers = model.rows["validation"]
    with torch.no_grad():
        return float(loss_of(model.network(features), answers.unsqueeze(1)))


def job_in(folder: str) -> Job:
    return Job(
        checkout=folder,
        module="benchmodel",
        task="binary",
        data={},
        parameters={},
        loss="bce",
        optimizer="sgd",
        learning_rate=LEARNING_RATE,
        momentum=0.9,
        weight_decay=0.0,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        seed=SEED,
        environment={},
        checkpoint_seconds=3600,
    )


if __name__ == "__main__":
    main()
