"""The job of a training process: what headgate.toml asks for, and where its files are."""

import json
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from headgate.configuration import BALANCED
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from services.trainer.attempt.tools import Limits
from services.trainer.job import Job


def job_of(
    checkout: Path,
    parsed: configuration.ModelConfiguration,
    data: dict[str, Path],
    environment: dict[str, str],
    limits: Limits,
    upload: facts.Upload | None = None,
) -> Job:
    train = parsed.train
    return Job(
        checkout=str(checkout),
        module=parsed.code.module,
        kind=parsed.code.kind,
        answers=upload.answers if upload is not None else "",
        task=parsed.task,
        data={name: str(path) for name, path in data.items()},
        parameters=json.loads(parsed.parameters_json),
        loss=train.loss,
        optimizer=train.optimizer,
        learning_rate=train.learning_rate,
        momentum=train.momentum,
        weight_decay=train.weight_decay,
        epochs=train.epochs if limits.epochs is None else min(train.epochs, limits.epochs),
        batch_size=train.batch_size,
        seed=train.seed,
        environment=environment,
        checkpoint_seconds=limits.checkpoint_seconds,
        class_weights=BALANCED if train.balanced_class_weights else list(train.class_weights),
        outputs=list(parsed.network.outputs),
        measured=parsed.network.measured,
        dimensions={each.input: list(each.sizes) for each in parsed.network.dimensions},
        input_names={each.file: each.callers for each in parsed.network.input_names},
        served_as=parsed.network.served_as,
        own_metrics=[each.name for each in parsed.evaluate.own_metrics],
        threshold=parsed.evaluate.threshold,
        threshold_choice=fields_of(parsed.evaluate.threshold_choice),
        slices=[fields_of(each) for each in parsed.evaluate.slices],
        is_trial=limits.epochs is not None,
    )


def fields_of(message: Message) -> dict[str, Any]:
    """The fields that are set, by name."""
    return {field.name: value for field, value in message.ListFields()}
