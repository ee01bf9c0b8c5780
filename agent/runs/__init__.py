"""Unattended runs over a corpus: durable, resumable, each document exactly once.

``parts`` cuts the input, ``feed`` reads it ahead, ``scheduler`` keeps several
parts in flight, ``ledger`` says whether a run may go on, ``output`` writes the
result, ``session`` puts them together with a project's models.
"""
