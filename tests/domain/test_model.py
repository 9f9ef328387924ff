"""Labels of a model."""

from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from tests.domain.scenario import given


def test_a_model_is_created_with_labels() -> None:
    create = commands.CreateModel(description="cards", labels={"team": "risk", "empty": ""})
    fact = facts.ModelCreated(description="cards", labels={"team": "risk"})
    given().when(create).then(fact)
    assert dict(given(fact).state.model.labels) == {"team": "risk"}


def test_a_label_is_set_changed_and_removed() -> None:
    past = given(facts.ModelCreated())
    past.when(commands.LabelModel(key="team", value="risk")).then(facts.ModelLabelled(key="team", value="risk"))
    past.and_given(facts.ModelLabelled(key="team", value="risk"))
    past.when(commands.LabelModel(key="team", value="risk")).then_nothing()
    past.when(commands.LabelModel(key="team", value="fraud")).then(facts.ModelLabelled(key="team", value="fraud"))
    past.when(commands.LabelModel(key="team")).then(facts.ModelLabelled(key="team"))
    past.and_given(facts.ModelLabelled(key="team"))
    assert not past.state.model.labels
    past.when(commands.LabelModel(key="team")).then_nothing()


def test_a_new_description_does_not_change_the_labels() -> None:
    past = given(facts.ModelCreated(labels={"team": "risk"}), facts.ModelDescribed(description="new"))
    assert dict(past.state.model.labels) == {"team": "risk"}


def test_labels_have_limits() -> None:
    past = given(facts.ModelCreated(labels={f"k{number}": "x" for number in range(64)}))
    past.when(commands.LabelModel(key="one-more", value="x")).then_refused("invalid-argument", "64")
    past.when(commands.LabelModel(key="Team", value="x")).then_refused("invalid-argument", "key")
    past.when(commands.LabelModel(key="k1", value="x" * 257)).then_refused("invalid-argument", "256")
    given().when(commands.CreateModel(labels={"Team": "x"})).then_refused("invalid-argument", "Team")
    given().when(commands.CreateModel(labels={f"k{n}": "x" for n in range(65)})).then_refused("invalid-argument", "64")
