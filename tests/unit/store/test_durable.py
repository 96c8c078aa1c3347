"""Files and folders that survive a power cut."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nrc.rabbitmq.private_node import prepare_node
from store.files import durable
from store.files.durable import keep, make_folder


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were synced, in order."""
    folders: list[Path] = []
    monkeypatch.setattr(durable, "sync_folder", folders.append)
    return folders


def test_every_new_folder_is_on_disk(tmp_path: Path, synced: list[Path]) -> None:
    make_folder(tmp_path / "a" / "b")
    assert set(synced) == {tmp_path, tmp_path / "a"}
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    synced.clear()
    make_folder(tmp_path / "a" / "b")
    assert synced == []


def test_a_kept_file_is_on_disk_with_its_name(tmp_path: Path, synced: list[Path]) -> None:
    keep(tmp_path / "file", b"content", replace=True, mode=0o400)
    assert synced == [tmp_path]
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o400


def test_the_files_of_a_new_node_are_on_disk(tmp_path: Path, synced: list[Path]) -> None:
    folder = tmp_path / "state" / "rabbitmq"
    prepare_node(folder)
    assert {tmp_path, tmp_path / "state", folder} <= set(synced)
    assert json.loads((folder / "node.json").read_text())["user"] == "nrc"
    assert sorted(each.name for each in folder.iterdir()) == [
        ".erlang.cookie",
        "advanced.config",
        "enabled_plugins",
        "node.json",
        "rabbitmq-env.conf",
    ]
