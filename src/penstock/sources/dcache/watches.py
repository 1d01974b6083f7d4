"""Which folders are watched: subscriptions and folders, found by either. Pure."""

from __future__ import annotations


class Watches:
    """One channel's subscriptions; folders are paths of the namespace."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}
        self._subscriptions: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._folders)

    def __contains__(self, folder: str) -> bool:
        return folder in self._subscriptions

    def add(self, folder: str, subscription: str) -> None:
        """Note that a folder is watched. A watch follows its folder, so a former place is forgotten."""
        before = self._folders.get(subscription)
        if before is not None and self._subscriptions.get(before) == subscription:
            del self._subscriptions[before]
        self._folders[subscription] = folder
        self._subscriptions[folder] = subscription

    def clear(self) -> None:
        """Forget all: the channel has ended."""
        self._folders.clear()
        self._subscriptions.clear()

    def folder(self, subscription: str) -> str | None:
        """Return the folder of a subscription."""
        return self._folders.get(subscription)

    def remove(self, subscription: str) -> str | None:
        """Forget a subscription and return its folder."""
        folder = self._folders.pop(subscription, None)
        if folder is not None and self._subscriptions.get(folder) == subscription:
            del self._subscriptions[folder]
        return folder

    def below(self, folder: str) -> list[tuple[str, str]]:
        """Return ``(folder, subscription)`` of a folder and all below it."""
        inside = folder.rstrip("/") + "/"
        return [
            (each, subscription)
            for each, subscription in self._subscriptions.items()
            if each == folder or each.startswith(inside)
        ]

    def rename(self, old: str, new: str) -> None:
        """Move a folder, with all below it, to another path."""
        for folder, subscription in self.below(old):
            self.add(new + folder[len(old) :], subscription)
