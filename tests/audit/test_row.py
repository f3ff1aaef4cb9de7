"""Rows and their columns: names, types, units and descriptions follow from the fields."""

from fnmatch import fnmatchcase

import pytest

from cfexplain.audit import columns
from cfexplain.audit.row import flat
from cfexplain.audit.store import read_rows

REQUIRED = {"image_id": "a", "classifier": "c", "asked": "auto", "lesion_id": "a", "seed": 0, "versions": "{}"}


def test_a_mapping_is_a_column_per_key():
    values = {"metric.*": {"mean_change": 0.5}, "oracle.*.gain": {"witness": 0.25}, "meta.*": {"sex": "male"}}
    row = flat(REQUIRED | values)
    assert (row["metric.mean_change"], row["oracle.witness.gain"], row["meta.sex"]) == (0.5, 0.25, "male")
    assert not set(values) & set(row)


def test_a_value_without_a_column_is_refused():
    with pytest.raises(AssertionError, match="without a column"):
        flat(REQUIRED | {"mettle": 1.0})


def test_every_column_has_one_description_and_type(finished):
    arrow = {"string": "str", "float64": "float64", "int64": "int64", "bool": "bool"}
    for name, dtype in finished.rows.dtypes.items():
        (column,) = (c for c in columns() if fnmatchcase(str(name), c.name))
        assert column.description
        assert str(dtype) == arrow[column.type], name


def test_an_audit_without_rows_has_the_columns_that_every_audit_has(tmp_path):
    rows = read_rows(tmp_path)
    assert len(rows) == 0
    assert {"image_id", "status", "source", "verdict", "error"} <= set(rows)
