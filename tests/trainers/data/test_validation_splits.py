"""How a dataset holds out validation: from a valid file, or in the way in which the test split was made."""

from __future__ import annotations

from pathlib import Path

from trainers import load_dataset
from trainers.data.options import ValidationSplit

from .own_files import folder, refused

TRAIN = "0 1 2\n1 0 5\n2 5\n"


class TestValidFile:
    CSV = "user,item,rating,time\n1,1,5,1\n1,2,5,2\n2,1,5,3\n2,3,5,4\n"

    def test_pairs_that_are_also_in_train_give_a_message(self, tmp_path: Path) -> None:
        files = {"train_txt": TRAIN, "valid_txt": "0 2\n1 1\n", "test_txt": "0 5\n"}
        dataset = load_dataset(str(folder(tmp_path / "own", **files)))
        assert dataset.facts.warnings == ("1 of 2 pairs of the valid file are in the train file, too, and are not held out",)
        held_out = dataset.hold_out().held_out
        assert (held_out.users.tolist(), held_out.items.tolist()) == ([1], [1])

    def test_a_valid_file_with_only_pairs_of_train_is_refused(self, tmp_path: Path) -> None:
        files = {"train_txt": TRAIN, "valid_txt": "0 2\n1 5\n", "test_txt": "0 5\n"}
        dataset = load_dataset(str(folder(tmp_path / "own", **files)))
        refused(dataset.hold_out, "the valid file must have pairs that are not in the train file", "another validation")

    def test_times_in_only_one_file_are_not_used_with_a_message(self, tmp_path: Path) -> None:
        valid = "user,item\n1,3\n"
        files = {"train_csv": self.CSV, "valid_csv": valid, "test_csv": "user,item\n2,2\n"}
        dataset = load_dataset(str(folder(tmp_path / "own", **files)))
        assert not dataset.facts.timed
        assert dataset.facts.warnings == ("times are not used, since only one of the train and valid files has them",)


class TestDefaultValidation:
    def test_ordered_data_with_a_random_test_split_have_random_validation(self, tmp_path: Path) -> None:
        name = str(folder(tmp_path / "own", lines_txt="0 3 1 2\n1 5 0 4 2\n2 5 2 1\n") / "lines.txt")
        drawn = load_dataset(name, ordered=True, test={"name": "random"})
        assert drawn.default_validation().name == "random", "validation follows the rule of the test split"
        assert load_dataset(name, ordered=True).default_validation().name == "last"

    def test_a_test_split_at_one_moment_has_validation_at_one_moment(self, tmp_path: Path) -> None:
        rows = "".join(f"{user},{(item + user) % 6},{10 * item + user}\n" for user in range(3) for item in range(6))
        name = str(folder(tmp_path / "own", pairs_csv="user,item,time\n" + rows) / "pairs.csv")
        dataset = load_dataset(name, test={"name": "time"})
        assert dataset.default_validation().name == "time"
        assert load_dataset(name).default_validation().name == "last"
        parts = dataset.hold_out()
        assert parts.seen.times is not None
        assert parts.held_out.times is not None
        assert parts.seen.times.max() < parts.held_out.times.min()

    def test_a_test_file_of_data_declared_ordered(self, tmp_path: Path) -> None:
        name = str(folder(tmp_path / "own", train_txt="0 3 1 2\n1 5 0 4 2\n", test_txt="0 5\n"))
        assert load_dataset(name, ordered=True).default_validation().name == "last"


class TestValidation:
    def test_last_pairs_of_items_without_a_training_pair_are_dropped_and_counted(self, tmp_path: Path) -> None:
        """The last items of the users are 3, 2 and 8. Item 8 has no other pair."""
        name = str(folder(tmp_path / "own", train_txt="0 1 2 3\n1 3 1 2\n2 1 3 8\n", test_txt="0 8\n"))
        dataset = load_dataset(name, ordered=True, format="lines")
        parts = dataset.hold_out(ValidationSplit(name="last"))
        items = dataset.item_ids[parts.held_out.items]
        assert list(zip(parts.held_out.users.tolist(), items.tolist(), strict=True)) == [(0, 3), (1, 2)]
        assert parts.unknown == 1
        assert len(parts.seen) == 6

    def test_random_pairs_of_items_without_a_training_pair_are_dropped(self, tmp_path: Path) -> None:
        """Each user has an item of their own and two that all have: what is held out of the first kind is dropped."""
        lines = "".join(f"{user} 0 1 {user + 2}\n" for user in range(60))
        dataset = load_dataset(str(folder(tmp_path / "own", train_txt=lines, test_txt="0 5\n")), format="lines")
        parts = dataset.hold_out(ValidationSplit(name="random"))
        assert set(dataset.item_ids[parts.held_out.items]) == {0, 1}
        assert 0 < parts.unknown == 60 - len(parts.held_out)

    def test_data_whose_validation_items_all_lack_training_pairs_are_refused(self, tmp_path: Path) -> None:
        name = str(folder(tmp_path / "own", train_txt="0 1 2\n1 1 3\n", test_txt="0 3\n"))
        dataset = load_dataset(name, ordered=True, format="lines")
        refused(dataset.hold_out, "validation pairs must have items with training pairs, got none among 2; use more data")
