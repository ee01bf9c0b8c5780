"""Records as lines of JSON, and back."""

from __future__ import annotations

from typing import Annotated

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from evals.errors import EvalLogError
from evals.records import Record

_ADAPTER: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="t")])


def to_line(record: Record) -> bytes:
    """A record as one line of JSON, line break included."""
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def from_line(line: bytes) -> Record:
    """The record of a line.

    Raises:
        EvalLogError: The line is none of the records of this form.
    """
    try:
        return _ADAPTER.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise EvalLogError(
            f"a record of another form: {where}: {first['msg']}", "it was written by another version of Quorum"
        ) from error
