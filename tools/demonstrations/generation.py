"""One generation of an index: two collections, word statistics, and how they change together."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.demonstrations import codec
from tools.demonstrations.embedder import Embedder
from tools.demonstrations.folder import REBUILD_HINT, IndexFolder, read_state
from tools.demonstrations.model import Demonstration
from tools.demonstrations.weights import WordStatistics
from tools.errors import DemonstrationIndexError

WORDS = "words.npy"
# Chroma's write throughput is flat between 100 and 500 items a call.
_WRITE = 500


class Generation:
    """The data of an index as it lies in one folder.

    Mentions are kept one vector a distinct text, with the list of its owners.
    One vector an occurrence looks simpler, but a graph index links equal
    vectors to each other only: with mentions as often repeated as in news, a
    vector's own nearest neighbour was missed in one case of nine.

    Args:
        folder: The generation's folder.
        client: A Chroma client on it.
        sentences: The collection of demonstrations.
        mentions: The collection of mentions.
    """

    def __init__(self, folder: Path, client: Any, sentences: Any, mentions: Any) -> None:
        self.folder = folder
        self.client = client
        self.sentences = sentences
        self.mentions = mentions
        state = read_state(folder)
        self.digest = int(str(state.get("digest", "0")), 16)
        self.words = WordStatistics()
        if state.get("clean"):
            try:
                self.words = WordStatistics.load(folder / WORDS)
            except (OSError, ValueError, EOFError) as error:
                raise DemonstrationIndexError("the index's word statistics are damaged", REBUILD_HINT) from error

    def payloads(self, keys: Sequence[str]) -> dict[str, str]:
        """The payloads of those keys that are there, in one call."""
        if not keys:
            return {}
        found = self.sentences.get(ids=list(keys), include=["metadatas"])
        return {key: str(meta["payload"]) for key, meta in zip(found["ids"], found["metadatas"], strict=True)}

    def write(
        self, folder: IndexFolder, embedder: Embedder, put: Mapping[str, Demonstration], drop: Sequence[str] = ()
    ) -> int:
        """Add, replace and remove demonstrations.

        Args:
            folder: The index's folder, whose readers must wait meanwhile.
            embedder: The index's embedder.
            put: Key to what to add, or to put in place of what is there.
            drop: Keys to remove.

        Returns:
            How many of ``drop`` were there.
        """
        payloads = {key: codec.dump(item) for key, item in put.items()}
        before = self.payloads([*put, *drop])
        stale = [key for key in before if payloads.get(key) != before[key]]
        fresh = [key for key in put if payloads[key] != before.get(key)]
        if not stale and not fresh:
            return 0
        old = {key: codec.load(before[key]) for key in stale}
        postings, known = self._postings(old, {key: put[key] for key in fresh})
        new = [text for text, posting in postings.items() if posting.count and text not in known]
        kept = [text for text, posting in postings.items() if posting.count and text in known]
        dead = [text for text, posting in postings.items() if not posting.count and text in known]
        # Everything slow happens before the index is marked as being changed.
        vectors = embedder.encode([put[key].text for key in fresh] + new)
        removed = [key for key in drop if key in before]
        digest = self.digest
        for payload in [before[key] for key in stale] + [payloads[key] for key in fresh]:
            digest ^= codec.digest(payload)
        facts = {"digest": f"{digest:032x}"}
        with folder.changing(self.folder, facts):
            self._in_parts(
                new, vectors[len(fresh) :], [postings[text].metadata() for text in new], self.mentions.upsert
            )
            self._in_parts(kept, None, [postings[text].metadata() for text in kept], self.mentions.update)
            if dead:
                self.mentions.delete(ids=[codec.key_of(text) for text in dead])
            rows = [{"payload": payloads[key]} for key in fresh]
            self._in_parts(fresh, vectors, rows, self.sentences.upsert, key=str)
            if removed:
                self.sentences.delete(ids=removed)
            self.words.add((item.text for item in old.values()), by=-1)
            self.words.add(put[key].text for key in fresh)
            self.words.save(self.folder / WORDS)
        self.digest = digest
        return len(removed)

    def _postings(
        self, old: Mapping[str, Demonstration], new: Mapping[str, Demonstration]
    ) -> tuple[dict[str, codec.Posting], set[str]]:
        """The postings that a change touches as they are to be, and which texts are there already."""
        lost: dict[str, set[str]] = defaultdict(set)
        won: dict[str, set[str]] = defaultdict(set)
        for key, item in old.items():
            for text in item.mentions:
                lost[text].add(key)
        for key, item in new.items():
            for text in item.mentions:
                (lost[text].discard if key in lost[text] else won[text].add)(key)
        touched = [text for text in dict.fromkeys([*lost, *won]) if lost[text] or won[text]]
        there: dict[str, Any] = {}
        if touched:
            found = self.mentions.get(ids=[codec.key_of(text) for text in touched], include=["metadatas"])
            there = dict(zip(found["ids"], found["metadatas"], strict=True))
        postings = {
            text: codec.posting_of(there.get(codec.key_of(text))).without(lost[text]).including(sorted(won[text]))
            for text in touched
        }
        return postings, {text for text in touched if codec.key_of(text) in there}

    @staticmethod
    def _in_parts(
        items: Sequence[str],
        vectors: Any,
        metadatas: Sequence[Mapping[str, Any]],
        call: Callable[..., Any],
        *,
        key: Callable[[str], str] = codec.key_of,
    ) -> None:
        for at in range(0, len(items), _WRITE):
            part = slice(at, min(at + _WRITE, len(items)))
            more = {} if vectors is None else {"embeddings": vectors[part]}
            call(ids=[key(item) for item in items[part]], metadatas=list(metadatas[part]), **more)

    def keys(self) -> Iterable[str]:
        """The keys of all demonstrations, in pages, in no order."""
        page, at = 20_000, 0
        while found := self.sentences.get(limit=page, offset=at, include=[])["ids"]:
            yield from found
            at += page

    def close(self) -> None:
        """End the client; may be called twice."""
        with contextlib.suppress(RuntimeError):
            self.client.close()
