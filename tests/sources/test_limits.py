"""What ``penstock doctor`` is told of the kernel's limits."""

from __future__ import annotations

from pathlib import Path

from penstock.sources.limits import check_limits


def limits(tmp_path: Path, watches: int) -> Path:
    folder = tmp_path / "limits"
    folder.mkdir()
    for name, value in (
        ("max_user_watches", watches),
        ("max_user_instances", 128),
        ("max_queued_events", 16384),
    ):
        (folder / name).write_text(f"{value}\n")
    return folder


def test_enough_watches_hold(tmp_path: Path) -> None:
    (tmp_path / "in" / "a" / "b").mkdir(parents=True)
    findings = check_limits(tmp_path / "in", limits(tmp_path, 10))
    assert all(finding.holds for finding in findings)
    assert findings[0].message.startswith("3 folders below")


def test_too_few_watches_are_named_with_the_command(tmp_path: Path) -> None:
    (tmp_path / "in" / "a" / "b").mkdir(parents=True)
    finding = check_limits(tmp_path / "in", limits(tmp_path, 3))[0]
    assert not finding.holds
    assert "sudo sysctl fs.inotify.max_user_watches=524288" in finding.message


def test_this_kernels_limits_can_be_read(tmp_path: Path) -> None:
    assert [finding.name for finding in check_limits(tmp_path)] == [
        "watches",
        "instances",
        "queue",
        "readable",
    ]


def test_unreadable_folders_are_named(users_folder: Path) -> None:
    (users_folder / "closed").mkdir(mode=0)
    finding = check_limits(users_folder)[-1]
    assert not finding.holds
    assert str(users_folder / "closed") in finding.message
