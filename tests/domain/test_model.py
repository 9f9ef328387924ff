"""Labels of a model."""

from headgate.v1 import commands_pb2 as k
from headgate.v1 import facts_pb2 as f
from tests.domain.scenario import given


def test_a_model_is_created_with_labels() -> None:
    wish = k.CreateModel(description="cards", labels={"team": "risk", "empty": ""})
    fact = f.ModelCreated(description="cards", labels={"team": "risk"})
    given().when(wish).then(fact)
    assert dict(given(fact).state.model.labels) == {"team": "risk"}


def test_a_label_is_set_changed_and_removed() -> None:
    past = given(f.ModelCreated())
    past.when(k.LabelModel(key="team", value="risk")).then(f.ModelLabelled(key="team", value="risk"))
    past.and_given(f.ModelLabelled(key="team", value="risk"))
    past.when(k.LabelModel(key="team", value="risk")).then_nothing()
    past.when(k.LabelModel(key="team", value="fraud")).then(f.ModelLabelled(key="team", value="fraud"))
    past.when(k.LabelModel(key="team")).then(f.ModelLabelled(key="team"))
    past.and_given(f.ModelLabelled(key="team"))
    assert not past.state.model.labels
    past.when(k.LabelModel(key="team")).then_nothing()


def test_a_new_description_leaves_the_labels() -> None:
    past = given(f.ModelCreated(labels={"team": "risk"}), f.ModelDescribed(description="new"))
    assert dict(past.state.model.labels) == {"team": "risk"}


def test_labels_have_limits() -> None:
    past = given(f.ModelCreated(labels={f"k{number}": "x" for number in range(64)}))
    past.when(k.LabelModel(key="one-more", value="x")).then_refused("invalid-argument", "64")
    past.when(k.LabelModel(key="Team", value="x")).then_refused("invalid-argument", "key")
    past.when(k.LabelModel(key="k1", value="x" * 257)).then_refused("invalid-argument", "256")
    given().when(k.CreateModel(labels={"Team": "x"})).then_refused("invalid-argument", "Team")
    given().when(k.CreateModel(labels={f"k{n}": "x" for n in range(65)})).then_refused("invalid-argument", "64")
