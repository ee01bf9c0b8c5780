"""What comes next: the small protocol between the labelling screen and whoever picks documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from tools.errors import InputError
from tools.store import Store


class Hidden(NamedTuple):
    """What an independent look at a document must not show before it is done.

    Attributes:
        models: What the models suggest.
        people: What other people marked.
    """

    models: bool = False
    people: bool = False


OPEN = Hidden()


class Queue(Protocol):
    """An order of documents. It holds no place of its own: the screen says where it stands.

    Every call may raise a ``QuorumError``; the screen shows it and stays where it is.
    """

    @property
    def name(self) -> str:
        """What the screen calls it, e.g. ``unlabelled`` or ``round 3``."""
        ...

    def total(self) -> int:
        """How many documents are in it, finished ones included."""
        ...

    def left(self) -> int:
        """How many of them still wait for a decision."""
        ...

    def next(self, after: str | None) -> str | None:
        """The next document that waits for a decision.

        Args:
            after: The document that the screen shows; None at the beginning.

        Returns:
            Its id; None where nothing waits any more.
        """
        ...

    def previous(self, before: str) -> str | None:
        """The document in front of one, finished or not; None at the beginning."""
        ...

    def peek(self, after: str | None, count: int) -> list[str]:
        """The next documents that wait, without opening them."""
        ...

    def why(self, document_id: str) -> str:
        """Why a document is in the queue, in a line; empty where there is nothing to say."""
        ...

    def decided(self, document_id: str) -> None:
        """Told after a document was finished and is on disk."""
        ...

    def opened(self, document_id: str) -> None:
        """Told when another document is shown."""
        ...

    def hides(self, document_id: str) -> Hidden:
        """What must not be shown of a document before it is done."""
        ...

    def scope(self, document_id: str) -> tuple[int, int] | None:
        """The part of a document that is asked; None for all of it."""
        ...

    def ending(self) -> str:
        """What comes when nothing waits any more, in a line; empty where there is nothing to say."""
        ...


class StoreQueue:
    """All documents that nobody has finished, in the order they came; skipped ones at the end.

    Args:
        store: The project's store.
        annotator: Who is asked.
    """

    name = "unlabelled"

    def __init__(self, store: Store, annotator: str) -> None:
        self._store, self._annotator = store, annotator

    def total(self) -> int:
        """All documents of the store."""
        first, last = self._store.document_span()
        return last - first + 1

    def left(self) -> int:
        """Documents that nobody has finished."""
        return max(0, self.total() - self._store.finished_count())

    def next(self, after: str | None) -> str | None:
        """The next one behind a document, else the first; skipped ones when no other waits."""
        return next(iter(self.peek(after, 1)), None)

    def previous(self, before: str) -> str | None:
        """The document that came before."""
        return self._store.document_id(self._store.sequence_number(before) - 1)

    def peek(self, after: str | None, count: int) -> list[str]:
        """The next ones that wait."""
        seq = self._store.sequence_number(after) if after is not None else 0
        found: dict[int, str] = {}
        for skipped in (False, True):
            for start in (seq, 0):
                if len(found) < count:
                    page = self._store.undecided(self._annotator, start, count + 1, skipped=skipped)
                    found.update((n, name) for n, name in page if n not in found and (n != seq or after is None))
        return list(found.values())[:count]

    def why(self, document_id: str) -> str:
        """It waits; there is nothing more to say."""
        return ""

    def decided(self, document_id: str) -> None:
        """Nothing to do: the store itself is the queue."""

    def opened(self, document_id: str) -> None:
        """Nothing to do: any document may be opened by anybody."""

    def hides(self, document_id: str) -> Hidden:
        """Nothing is hidden."""
        return OPEN

    def scope(self, document_id: str) -> None:
        """Documents are asked whole."""

    def ending(self) -> str:
        """The list of documents says the rest."""
        return ""


class ListQueue:
    """Documents that a person named, in that order.

    Args:
        store: The project's store.
        annotator: Who is asked.
        ids: The documents.
        name: What to call the list.

    Raises:
        InputError: The list is empty, or a document is not in the store.
    """

    def __init__(self, store: Store, annotator: str, ids: Sequence[str], name: str = "list") -> None:
        self._store, self._annotator, self.name = store, annotator, name
        self._ids = tuple(dict.fromkeys(ids))
        if not self._ids:
            raise InputError("the list of documents is empty", "name a document a line, or leave the list out")
        for document_id in self._ids:
            if not store.has_document(document_id):
                raise InputError(
                    f"document {document_id!r} is not in the store", "see the ids with: quorum label, key Q"
                )
        self._places = {document_id: place for place, document_id in enumerate(self._ids)}

    def total(self) -> int:
        """How long the list is."""
        return len(self._ids)

    def left(self) -> int:
        """How many the annotator has not finished."""
        return sum(not self._finished(document_id) for document_id in self._ids)

    def next(self, after: str | None) -> str | None:
        """The next one in the list that waits, else the first; skipped ones when no other waits."""
        return next(iter(self.peek(after, 1)), None)

    def previous(self, before: str) -> str | None:
        """The one in front of it in the list."""
        place = self._places.get(before, 0)
        return self._ids[place - 1] if place else None

    def peek(self, after: str | None, count: int) -> list[str]:
        """The next ones that wait."""
        place = self._places.get(after, -1) if after is not None else -1
        order = [*self._ids[place + 1 :], *self._ids[: max(place, 0)]]
        waiting: list[str] = []
        skipped: list[str] = []
        for document_id in order:
            decision = self._store.decision(document_id, self._annotator).decision
            if not decision.finished:
                (skipped if decision.skipped else waiting).append(document_id)
            if len(waiting) == count:
                break
        return (waiting + skipped)[:count]

    def why(self, document_id: str) -> str:
        """It was named."""
        return f"{self._places[document_id] + 1} of the list" if document_id in self._places else ""

    def decided(self, document_id: str) -> None:
        """Nothing to do: the store knows."""

    def opened(self, document_id: str) -> None:
        """Nothing to do: any document may be opened by anybody."""

    def hides(self, document_id: str) -> Hidden:
        """Nothing is hidden."""
        return OPEN

    def scope(self, document_id: str) -> None:
        """Documents are asked whole."""

    def ending(self) -> str:
        """The list of documents says the rest."""
        return ""

    def _finished(self, document_id: str) -> bool:
        return self._store.decision(document_id, self._annotator).decision.finished
