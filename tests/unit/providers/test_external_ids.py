"""Where an answer names the provider's account."""

import pytest

from tokenkeep.providers.external_ids import NoId, read_external_id

ANSWER = {
    "id": 42,
    "user": {"id": "u-1", "none": None, "polar-user-id": 7},
    "data": [{"id": 5}],
    "rows": [["ADMIN"]],
    "many": [{"id": 1}, {"id": 2}],
    "none": [],
    "twf.clusterUrl": "https://c1.test",
    "yes": True,
    "half": 1.5,
    "whole": 7.0,
    "blank": " ",
    "long": "x" * 256,
    "control": "a\u0000b",
    "torn": "\ud800",
    "huge": 10**60,
}
NAMES = {"hostname": "school.test"}


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("id", "42"),
        ("user.id", "u-1"),
        ("user.polar-user-id", "7"),
        ("data[0].id", "5"),
        ("rows[0][0]", "ADMIN"),
        ("many[1].id", "2"),
        ("user.id + id", "u-1:42"),
        ("{hostname} + id", "school.test:42"),
        ("{hostname}", "school.test"),
        ("twf.clusterUrl", "https://c1.test"),
        ("whole", "7"),
        ("many[0].id", NoId.SEVERAL),
        ("none[0].id", NoId.SEVERAL),
        ("user.none", NoId.NULL),
        ("user.none + id", NoId.NULL),
        ("nobody", NoId.MISSING),
        ("user.nobody.id", NoId.MISSING),
        ("id.id", NoId.MISSING),
        ("id[0]", NoId.MISSING),
        ("{elsewhere} + id", NoId.MISSING),
        ("id + ", NoId.UNFIT),
        ("yes", NoId.UNFIT),
        ("half", NoId.UNFIT),
        ("blank", NoId.UNFIT),
        ("long", NoId.UNFIT),
        ("control", NoId.UNFIT),
        ("torn", NoId.UNFIT),
        ("huge", NoId.UNFIT),
        ("user", NoId.UNFIT),
        ("]x[", NoId.MISSING),
    ],
)
def test_an_id_is_found_at_its_path_or_it_is_said_why_not(path: str, told: str | NoId) -> None:
    assert read_external_id(ANSWER, path, NAMES) == told


def test_a_list_at_the_top_has_its_only_item() -> None:
    assert read_external_id([{"id": 1}], "[0].id", {}) == "1"
    assert read_external_id([{"id": 1}, {"id": 2}], "[0].id", {}) is NoId.SEVERAL
    assert read_external_id("text", "[0].id", {}) is NoId.MISSING


def test_joined_ids_are_bounded_as_a_whole() -> None:
    document = {"a": "x" * 200, "b": "y" * 200}
    assert read_external_id(document, "a + b", {}) is NoId.UNFIT
