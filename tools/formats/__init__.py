"""Reading documents from files, and writing records and annotated documents to them."""

from tools.formats.gold import gold_spans
from tools.formats.loss import LossReport
from tools.formats.reading import read_documents
from tools.formats.report import BadRecord, ReadReport
from tools.formats.writing import Record, encode_line, record_of, write_records

__all__ = [
    "BadRecord",
    "LossReport",
    "ReadReport",
    "Record",
    "encode_line",
    "gold_spans",
    "read_documents",
    "record_of",
    "write_records",
]
