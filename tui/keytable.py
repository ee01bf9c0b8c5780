"""The one table of bindings: every command of every screen, with its keys and a line of help.

Footer, help, palette, documentation and tests are made from it; ``tui/keymap.py``
says how a project or a person changes it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """Something a screen can do.

    Attributes:
        id: Its name in the ``[keys]`` table.
        group: The heading it stands under in the help.
        help: What it does, in one line.
        keys: Its keys in the default preset, most natural first.
        vim: Its keys in the vim preset; None takes the default's.
        prodigy: Its keys in the prodigy preset; None takes the default's.
    """

    id: str
    group: str
    help: str
    keys: tuple[str, ...]
    vim: tuple[str, ...] | None = None
    prodigy: tuple[str, ...] | None = None

    def keys_in(self, preset: str) -> tuple[str, ...]:
        """Its keys in a preset."""
        own = {"vim": self.vim, "prodigy": self.prodigy}.get(preset)
        return self.keys if own is None else own


_MOVE, _SELECT, _DECIDE, _SHAPE, _GO, _LOOK = (
    "Move",
    "Select",
    "Decide",
    "Change a span",
    "Documents",
    "Look and ask",
)

COMMANDS: tuple[Command, ...] = (
    Command("next_suggestion", _MOVE, "To the next suggestion, or mark when none waits", ("tab",), ("tab", "n")),
    Command("previous_suggestion", _MOVE, "To the suggestion before", ("shift+tab",), ("shift+tab", "N")),
    Command("next_mark", _MOVE, "To the next mark of your own", ("J",), ("]",)),
    Command("previous_mark", _MOVE, "To the mark before", ("K",), ("[",)),
    Command("left", _MOVE, "One character back", ("left",), ("left", "h")),
    Command("right", _MOVE, "One character on", ("right",), ("right", "l")),
    Command("up", _MOVE, "One row up", ("up",), ("up", "k")),
    Command("down", _MOVE, "One row down", ("down",), ("down", "j")),
    Command("word_right", _MOVE, "To the next word", ("ctrl+right",), ("ctrl+right", "w")),
    Command("word_left", _MOVE, "To the word before", ("ctrl+left",), ("ctrl+left", "b")),
    Command("word_end", _MOVE, "To the end of the word", ("ctrl+e",), ("e",)),
    Command("sentence_right", _MOVE, "To the next sentence", ("ctrl+down",), ("ctrl+down", ")")),
    Command("sentence_left", _MOVE, "To the beginning of the sentence", ("ctrl+up",), ("ctrl+up", "(")),
    Command("row_start", _MOVE, "To the beginning of the row", ("home",), ("home", "0")),
    Command("row_end", _MOVE, "To the end of the row", ("end",), ("end", "$")),
    Command("page_down", _MOVE, "One screen on", ("pagedown",), ("pagedown", "ctrl+f")),
    Command("page_up", _MOVE, "One screen back", ("pageup",), ("pageup", "ctrl+b")),
    Command("document_start", _MOVE, "To the beginning of the document", ("ctrl+home",), ("ctrl+home", "g")),
    Command("document_end", _MOVE, "To the end of the document", ("ctrl+end",), ("ctrl+end", "G")),
    Command("jump", _MOVE, "Letters at spans and words; typing them goes there", ("F", "ctrl+g"), ("f", "ctrl+g")),
    Command("select", _SELECT, "Begin a selection here, or give it up", ("v",)),
    Command("swap_end", _SELECT, "Work on the other end of the selection, or of the span", ("O",), ("o",)),
    Command("extend_left", _SELECT, "Select one character back", ("shift+left",)),
    Command("extend_right", _SELECT, "Select one character on", ("shift+right",)),
    Command("extend_up", _SELECT, "Select one row up", ("shift+up",)),
    Command("extend_down", _SELECT, "Select one row down", ("shift+down",)),
    Command("extend_word_right", _SELECT, "Select to the end of the word", ("ctrl+shift+right", "E")),
    Command("extend_word_left", _SELECT, "Select to the beginning of the word", ("ctrl+shift+left", "B")),
    Command("cancel", _SELECT, "Give up the selection, a chord or a search", ("escape",)),
    Command("accept", _DECIDE, "Accept the suggestion as it is", ("space", "a"), ("a", "space"), ("y",)),
    Command("reject", _DECIDE, "Reject the suggestion, or delete the mark", ("x", "delete", "backspace"), None, ("x",)),
    Command("accept_all", _DECIDE, "Accept every suggestion that waits", ("A",), None, ("A",)),
    Command("accept_above", _DECIDE, "Accept all above a confidence; says the expected errors first", ("%",)),
    Command("done", _DECIDE, "The document is done; what still waits is turned down", ("enter",)),
    Command("all_and_done", _DECIDE, "Accept all that waits, and the document is done", ("ctrl+a",), None, ("a",)),
    Command("nothing", _DECIDE, "Reviewed, and there is nothing to mark", ("-",)),
    Command("flag", _DECIDE, "Set the document aside with a note", ("!",)),
    Command("repeat", _DECIDE, "Give the type given last again", (".",)),
    Command("identical", _DECIDE, "Mark all identical mentions, after a look at them", ("*",)),
    Command("choose_type", _DECIDE, "Choose the type from a list, by typing", ("#",)),
    Command("undo", _DECIDE, "Take back what you did last, in any document", ("u", "ctrl+z"), None, ("u", "backspace")),
    Command("redo", _DECIDE, "Do it again", ("U", "ctrl+y"), ("ctrl+r", "U")),
    Command("grow", _SHAPE, "Longer by a character", (">",)),
    Command("shrink", _SHAPE, "Shorter by a character", ("<",)),
    Command("grow_word", _SHAPE, "Longer by a word", (")",), ("}",)),
    Command("shrink_word", _SHAPE, "Shorter by a word", ("(",), ("{",)),
    Command("move_left", _SHAPE, "The whole span one character back", ("alt+left", ",")),
    Command("move_right", _SHAPE, "The whole span one character on", ("alt+right", "'")),
    Command("split", _SHAPE, "Cut the span in two before the cursor", ("|", "S")),
    Command("merge", _SHAPE, "Join the span with the next of its type", ("+",)),
    Command("skip", _GO, "Leave the document for later", ("ctrl+n",), ("ctrl+n", "s"), ("space",)),
    Command("back", _GO, "Back to the document before", ("ctrl+o", "ctrl+pageup")),
    Command("forward", _GO, "Forth again after going back", ("ctrl+l", "ctrl+pagedown")),
    Command("queue", _GO, "All documents: browse, filter, open", ("Q", "f2")),
    Command("why", _LOOK, "Why is this suggested? Votes, examples, prompts", ("W", "f4")),
    Command("search", _LOOK, "Search, in the document and in the pool", ("/",)),
    Command("search_next", _LOOK, "To the next place found", ("f3",)),
    Command("guidelines", _LOOK, "Guidelines and types: read and edit", ("G", "f5"), ("f5",)),
    Command("low", _LOOK, "Show or hide what the quorum itself turned down", ("L",)),
    Command("panel", _LOOK, "Show or hide types and guidelines beside the text", ("P",)),
    Command("theme", _LOOK, "The next colour theme (standard, light, high contrast)", ("T",)),
    Command("help", _LOOK, "All keys", ("?", "f1")),
    Command("palette", _LOOK, "Find a command by its name", ("ctrl+p", ":"), (":", "ctrl+p")),
    Command("quit", _LOOK, "Leave; everything is kept already", ("ctrl+q",), ("ctrl+q", "q")),
)  # fmt: skip

_OTHER, _ASK, _SEE, _LIST = "Go", "Ask", "See", "List"
SHARED: tuple[Command, ...] = (
    Command("theme", _ASK, "The next colour theme (standard, light, high contrast)", ("T",)),
    Command("help", _ASK, "All keys", ("?", "f1")),
    Command("palette", _ASK, "Find a command, or another screen, by its name", ("ctrl+p", ":")),
    Command("back", _OTHER, "Back; from the first screen, leave", ("escape", "q")),
    Command("leave", _OTHER, "Leave the program; nothing is lost by it", ("ctrl+q",)),
)
LISTED: tuple[Command, ...] = (
    Command("up", _OTHER, "One row up", ("up", "k")),
    Command("down", _OTHER, "One row down", ("down", "j")),
    Command("page_up", _OTHER, "One screen back", ("pageup",)),
    Command("page_down", _OTHER, "One screen on", ("pagedown",)),
    Command("first", _OTHER, "To the first row", ("home", "g")),
    Command("last", _OTHER, "To the last row", ("end", "G")),
)
_CAMPAIGN = (
    Command("label", _OTHER, "Label what waits of the batch", ("l",)),
    Command("open", _OTHER, "Open the document under the cursor in the labelling screen", ("enter",)),
    Command("why", _SEE, "Why was this document chosen? All that the selection noted", ("W", "f4")),
    Command("earlier", _OTHER, "The batch of the round before", ("left", "[")),
    Command("later", _OTHER, "The batch of the round behind", ("right", "]")),
    Command("rounds", _SEE, "All rounds with their figures", ("R",)),
    Command("types", _SEE, "F1 of every type with its interval", ("t",)),
    Command("outlook", _SEE, "What the figures mean and what the stop rule says", ("o",)),
    Command("look", _SEE, "Look at the store again", ("r", "f5")),
)
_RUN = (
    Command("open", _SEE, "Open the dead letter, with its document's text, or the line of the log", ("enter",)),
    Command("switch", _SEE, "From the dead letters to the log, and back", ("tab",)),
    Command("letters", _SEE, "The dead letters", ("d",)),
    Command("log", _SEE, "The end of the servers' logs", ("l",)),
    Command("runs", _SEE, "Another run of this store", ("r",)),
    Command("refresh", _SEE, "Look again now", ("f5",)),
)
_DEMONSTRATIONS = (
    Command("search", _SEE, "Type a text: what would be shown for it?", ("/", "s")),
    Command("open", _SEE, "All of the demonstration, with its mentions", ("enter",)),
    Command("like", _SEE, "What would be shown for this very demonstration?", ("w",)),
    Command("switch", _SEE, "From the list of all to what was found, and back", ("tab",)),
    Command("left", _SEE, "The retriever to the left", ("left", "h")),
    Command("right", _SEE, "The retriever to the right", ("right", "l")),
    Command("more", _SEE, "One more for each retriever", ("+",)),
    Command("fewer", _SEE, "One fewer for each retriever", ("-",)),
    Command("again", _SEE, "Draw the random ones again", ("R",)),
    Command("reopen", _SEE, "Open the index again, with what was labelled since", ("f5",)),
)
_SETTINGS = (
    Command("check", _SEE, "Look for problems: files, keys, members, this machine", ("c",)),
    Command("switch", _SEE, "From the settings to the problems, and back", ("tab",)),
    Command("only", _SEE, "Only what somebody set, or only problems; all again", ("o",)),
    Command("next_set", _SEE, "To the next setting that somebody set, or the next problem", ("n",)),
    Command("open", _SEE, "All about the one under the cursor", ("enter",)),
    Command("reload", _SEE, "Read the file again", ("f5", "R")),
)
_REVIEW = (
    Command("open", _OTHER, "Review the document under the cursor", ("enter",)),
    Command("models", _SEE, "Whose versions count: people, the quorum too, each member too", ("m",)),
    Command("pair", _SEE, "The next two whose agreement is shown", ("p",)),
    Command("pair_before", _SEE, "The two before", ("P",)),
    Command("look", _SEE, "Look at the store again", ("r", "f5")),
)
_REVIEW_DOCUMENT = (
    Command("toggle", _DECIDE, "Keep the span, or drop it", ("space",)),
    Command("drop", _DECIDE, "Drop the span", ("x", "delete", "backspace")),
    Command("take", _DECIDE, "At this place, take the version with that number", tuple("123456789")),
    Command("whole", _DECIDE, "Take one version for the whole document", ("a",)),
    Command("edit", _DECIDE, "Mark what nobody has, change ends and types, with the keys of labelling", ("e", "v")),
    Command("undo", _DECIDE, "Take the last choice back", ("u", "ctrl+z")),
    Command("record", _DECIDE, "Record the decision, with its reason, and go to the next document", ("enter",)),
    Command("next_open", _OTHER, "To the next span that waits for a decision", ("tab", "n")),
    Command("previous_open", _OTHER, "To the one before", ("shift+tab", "N")),
    Command("skip", _OTHER, "To the next document, recording nothing", ("ctrl+n",)),
    Command("beside", _SEE, "Another version beside the decision", ("right", "]")),
    Command("beside_before", _SEE, "The version before beside the decision", ("left", "[")),
    Command("models", _SEE, "Whose versions are shown: people, the quorum too, each member too", ("m",)),
    Command("agreed", _SEE, "Show or hide spans that all versions have", ("d",)),
    Command("history", _SEE, "What was decided before about this document, and why", ("h",)),
)
_QUEUE = (
    Command("open", _OTHER, "Open the document under the cursor", ("enter",)),
    Command("filter", _LIST, "Filter by type, confidence, disagreement, state, annotator, words", ("/",)),
    Command("all", _LIST, "All documents again, without a filter", ("x",)),
)
_SEARCH = (
    Command("open", _OTHER, "Open the document there", ("enter",)),
    Command("search", _LIST, "Type what to look for", ("/",)),
    Command("meaning", _LIST, "Search by meaning, or for words again", ("ctrl+t",)),
)
_GUIDELINES = (
    Command("keep", _DECIDE, "Keep what was changed, as a new version", ("ctrl+s",)),
    Command("next_field", _OTHER, "To the next field", ("tab",)),
    Command("previous_field", _OTHER, "To the field before", ("shift+tab",)),
)
_IDENTICAL = (
    Command("leave_out", _DECIDE, "Leave the place out, or take it in again", ("space",)),
    Command("mark", _DECIDE, "Mark all places that are left", ("enter",)),
    Command("pool", _LIST, "In the whole pool, or in this document only", ("tab",)),
)
SCREENS: dict[str, tuple[Command, ...]] = {
    "campaign": (*_CAMPAIGN, *LISTED, *SHARED),
    "run": (*_RUN, *LISTED, *SHARED),
    "demonstrations": (*_DEMONSTRATIONS, *LISTED, *SHARED),
    "settings": (*_SETTINGS, *LISTED, *SHARED),
    "review": (*_REVIEW, *LISTED, *SHARED),
    "review_document": (*_REVIEW_DOCUMENT, *LISTED, *SHARED),
    "queue": (*_QUEUE, *LISTED, *SHARED),
    "search": (*_SEARCH, *LISTED, *SHARED),
    "guidelines": (*_GUIDELINES, *LISTED, *SHARED),
    "identical": (*_IDENTICAL, *LISTED, *SHARED),
}
# What a person gives other keys for labelling has them on the other screens, too, where they leave them free.
COMMON: dict[str, str] = {
    **{name: name for name in ("up", "down", "page_up", "page_down", "theme", "help", "palette")},
    "leave": "quit",
}
