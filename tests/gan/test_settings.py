"""The refiner is trained where the detector is, unless told otherwise."""

import pytest

from counterfeit.errors import UserError
from counterfeit.fit import command_line
from counterfeit.gan.settings import GanTrainerSettings

GPU = {"accelerator": "gpu", "devices": [1, 2], "precision": "bf16-mixed"}


def test_what_is_not_set_follows_the_detectors_trainer() -> None:
    assert GanTrainerSettings().following(GPU) == GanTrainerSettings("gpu", [1], "bf16-mixed")
    assert GanTrainerSettings(accelerator="cpu", devices=1).following(GPU) == GanTrainerSettings("cpu", 1, "bf16-mixed")


@pytest.mark.parametrize(
    ("devices", "one"), [("auto", 1), (4, 1), (None, 1), ("-1", 1), ([3, 0], [3]), ("2,3", [2]), ("0,", [0])]
)
def test_of_several_devices_it_takes_one(devices: object, one: object) -> None:
    assert GanTrainerSettings().following({"devices": devices}).devices == one


def test_a_precision_that_it_cannot_follow_is_the_users_mistake_unless_it_is_set() -> None:
    with pytest.raises(UserError, match=r"--gan_trainer\.precision"):
        GanTrainerSettings().following({"precision": "16-mixed"})
    assert GanTrainerSettings(precision="32-true").following({"precision": "16-mixed"}).precision == "32-true"


@pytest.mark.parametrize("devices", [0, 2, [], [0, 1]])
def test_it_is_trained_on_one_device(devices: int | list[int]) -> None:
    with pytest.raises(UserError, match="one device"):
        GanTrainerSettings(devices=devices)


def test_the_command_line_sets_both_at_once_or_each_alone() -> None:
    both = command_line(["--trainer.accelerator=cpu", "--trainer.precision=bf16-mixed"]).plan()
    assert both.gan_trainer == GanTrainerSettings("cpu", 1, "bf16-mixed")
    assert both.make_trainer().precision == "bf16-mixed"
    alone = command_line(["--trainer.accelerator=cpu", "--gan_trainer.precision=bf16-mixed"]).plan()
    assert alone.gan_trainer == GanTrainerSettings("cpu", 1, "bf16-mixed")
    assert alone.make_trainer().precision == "32-true"
