"""What a disk may hold after a power loss, by the journal of what was done to it."""

import random
from pathlib import Path

import pytest
from support.power import Disk, Operation


def done(what: str, path: str, other: str = "", number: int = 0o600, content: bytes = b"") -> Operation:
    return Operation(what, f"/x/state/{path}", f"/x/state/{other}" if other else "", number, content)


NEW = [done("o", "a"), done("w", "a", number=0, content=b"new")]
RENAMED = [*NEW, done("s", "a"), done("r", "a", "kept")]


@pytest.mark.parametrize(
    ("operations", "how", "held"),
    [
        (NEW, "lost", {"kept": b"old"}),
        (NEW, "names", {"a": b"", "kept": b"old"}),
        ([*NEW, done("s", "a")], "names", {"a": b"new", "kept": b"old"}),
        ([*NEW, done("s", "")], "lost", {"a": b"", "kept": b"old"}),
        (RENAMED, "lost", {"kept": b"old"}),
        (RENAMED, "names", {"kept": b"new"}),
        ([*RENAMED, done("s", "")], "lost", {"kept": b"new"}),
        ([*NEW, done("r", "a", "kept")], "names", {"kept": b""}),
        ([done("m", "d"), done("o", "d/a"), done("s", "d")], "lost", {"kept": b"old"}),
        ([done("m", "d"), done("o", "d/a"), done("s", "d"), done("s", "")], "lost", {"d/a": b"", "kept": b"old"}),
        ([done("m", "d"), done("r", "kept", "d/a"), done("s", "d"), done("s", "")], "lost", {"d/a": b"old"}),
        ([done("c", "kept")], "names", {"kept": b"old"}),
        ([done("c", "kept"), done("s", "kept")], "lost", {"kept": b""}),
        ([done("u", "kept")], "lost", {"kept": b"old"}),
        ([done("u", "kept")], "names", {}),
    ],
)
def test_what_was_brought_to_the_disk_is_there(
    tmp_path: Path, operations: list[Operation], how: str, held: dict[str, bytes]
) -> None:
    assert replayed(tmp_path, operations, how) == held


def test_of_the_rest_any_part_may_be_there(tmp_path: Path) -> None:
    writes = [done("w", "kept", number=0, content=b"x" * 1024), done("w", "kept", number=1024, content=b"y" * 1024)]
    lengths = {len(replayed(tmp_path / str(seed), writes, "torn", seed=seed)["kept"]) for seed in range(40)}
    assert {3, 512, 1024, 1536, 2048} <= lengths


def replayed(folder: Path, operations: list[Operation], how: str, *, seed: int = 0) -> dict[str, bytes]:
    (folder / "begun").mkdir(parents=True)
    (folder / "begun" / "kept").write_bytes(b"old")
    disk = Disk(folder / "begun", name="/state")
    for operation in operations:
        disk.do(operation)
    held = disk.lose(how, drawn=random.Random(seed), into=folder / "held")
    return {str(path.relative_to(held)): path.read_bytes() for path in held.rglob("*") if path.is_file()}
