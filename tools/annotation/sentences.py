"""Sentence borders for many scripts, by rules, without third-party packages.

A wrong border costs little here (passages hold several sentences) unless it
tears a name apart, so every doubtful full stop is taken as part of the sentence:
abbreviations, initials, acronyms, ordinals and numbered points. What is certain
are paragraph breaks, question and exclamation marks, and the full stops of
scripts that use them for nothing else.
"""

from __future__ import annotations

import re

from tools.annotation.clusters import extends

# Marks that end a sentence only before a blank, because they also stand inside words, numbers and addresses.
_SPACED = ".!?\u2026\u061f\u06d4\u0964\u0965\u0589\u1362\u1367\u203c\u203d\u2047\u2048\u2049"
# Marks that end a sentence whatever follows: scripts written without spaces.
_TIGHT = "\u3002\uff01\uff1f\uff61\ufe52\u104b\u17d4\u17d5"
_CLOSING = "\"'\u2019\u201d\u00bb\u203a)\\]}\u300d\u300f\u3011\u3009\u300b\uff09\uff3d"
_THAI = "\u0e00-\u0e7f\u0e80-\u0eff"
_BORDER = re.compile(
    rf"(?P<tight>[{_TIGHT}]+[{_SPACED}{_TIGHT}]*[{_CLOSING}]*\s*)"
    # The look-behind keeps a long run of dots from being tried anew at each dot.
    rf"|(?P<spaced>(?<![{_SPACED}])[{_SPACED}]++[{_CLOSING}]*+(?:\s+|\Z))"
    r"|(?P<paragraph>(?:\r\n|[\n\r\x85\u2028])[^\S\n\r\x85\u2028]*(?:\r\n|[\n\r\x85\u2028])\s*|[\u2029\f]\s*)"
    rf"|(?P<thai>(?<=[{_THAI}])\s+(?=[{_THAI}]))",
)
_BEFORE = 24
_LAST_WORD = re.compile(r"[^\s\"'(\[{\u2018\u201c\u00ab\u2014\u2013/]+\Z")
_NEXT_WORD = re.compile(r"[\"'(\[{\u2018\u201c\u00ab\u00bf\u00a1]*(\w+)")
_DOTTED = re.compile(r"(?:\w\.)+\w", re.UNICODE)
_ABBREVIATION_WORDS = """
    mr mrs ms mx dr prof rev hon pres gov sen rep gen col maj capt cmdr lt sgt cpl st ste mt ft messrs mme mlle sr
    fig figs eq eqs sec ch chap vol vols pp ed eds ref refs tab app art nos nr
    vs cf viz ca approx incl esp resp al ibid op dept univ assn bros
    jan feb mar apr jun jul aug sept sep oct nov dec mon tue tues wed thu thur thurs fri
    ave blvd rd hwy hr dipl ing bzw usw vgl ggf evtl sog bspw inkl zzgl mag str
    sra dra srta avda prof.ssa sig dott avv
"""
# They often end a sentence too: a border when one of the starters follows.
_OPEN_WORDS = "inc ltd corp co llc plc etc jr no"
_STARTER_WORDS = """
    the a an this that these those it its he she they we i you his her their our my in on at by for from with as
    after before when while where if but and or so however there here then thus moreover what who why how such
    der die das ein eine er sie es wir ich im am le la les un une il elle ils nous el los las una en de
"""
_MONTH_WORDS = """
    january february march april may june july august september october november december
    januar februar märz mai juni juli oktober dezember
    janvier février mars avril juin juillet août septembre octobre novembre décembre
"""
_ABBREVIATIONS = frozenset(_ABBREVIATION_WORDS.split())
_OPEN = frozenset(_OPEN_WORDS.split())
_STARTERS = frozenset(_STARTER_WORDS.split())
_MONTHS = frozenset(_MONTH_WORDS.split())


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Cut a text into sentences.

    Args:
        text: Any string.

    Returns:
        Half-open offsets in order, without gaps, from 0 to the text's end;
        blanks belong to the sentence before them. Empty for an empty text.
        No border stands before a combining mark or inside a line break.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _BORDER.finditer(text):
        at = match.end()
        if at >= len(text):
            break
        if match.lastgroup == "spaced" and not _ends(text, start, match.start(), at):
            continue
        if match.lastgroup == "tight" and _closes_quote(text, at):
            continue
        if extends(text[at]):
            continue
        spans.append((start, at))
        start = at
    if start < len(text):
        spans.append((start, len(text)))
    return spans


def _closes_quote(text: str, at: int) -> bool:
    """Whether a quotation just closed goes on in its sentence, as with a comma or a reporting verb."""
    return text[at] in "\u3001\uff0c,\u3068"


def _ends(text: str, start: int, mark: int, following: int) -> bool:
    """Whether the mark at ``mark`` ends the sentence begun at ``start``; the next one would begin at ``following``."""
    after = text[following]
    if "\n\n" in text[mark:following]:
        return True
    next_word = _NEXT_WORD.match(text, following, following + 64)
    word = next_word.group(1) if next_word else after
    if word[:1].islower() and text[mark] in ".!?\u2026":
        return False
    if text[mark] != "." or text[mark + 1 : mark + 2] == ".":
        return True
    last = _LAST_WORD.search(text, max(start, mark - _BEFORE), mark)
    if not last:
        return True
    return _full_stop(last.group(), word, at_start=not text[start : last.start()].strip())


def _full_stop(last: str, following: str, *, at_start: bool) -> bool:
    """Whether a full stop after ``last`` ends a sentence that ``following`` would go on from."""
    folded, starter = last.casefold(), following.casefold() in _STARTERS
    if folded in _ABBREVIATIONS:
        return False
    if folded in _OPEN:
        return starter or not (following[:1].isdigit() or folded in ("no", "co"))
    if last.isdigit():
        return not (at_start and len(last) <= 3) and not (len(last) <= 2 and following.casefold() in _MONTHS)
    if len(last) == 1 and last.isalpha():
        return starter and not at_start and (len(following) > 1 or following == "I") if last.isupper() else starter
    if _DOTTED.fullmatch(last):
        return starter
    return True
