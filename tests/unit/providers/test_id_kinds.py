"""Where an id is read says of which kind it is."""

from tokenkeep.providers.entry import Verification
from tokenkeep.providers.id_kinds import kind_at, other_path

ME = Verification("https://{hostname}/me?fields=id#x", external_id="user.id")
HOSTED = Verification("https://{hostname}/me", external_id="{hostname}+id")
BLUE, RED = {"hostname": "blue.test"}, {"hostname": "red.test"}


def test_a_kind_is_the_address_and_the_path_with_the_properties_that_are_part_of_the_id() -> None:
    assert kind_at(ME, BLUE) == kind_at(ME, RED) == "https://{hostname}/me user.id"
    assert kind_at(HOSTED, BLUE) == "https://{hostname}/me {hostname=blue.test} + id"
    assert kind_at(HOSTED, BLUE) != kind_at(HOSTED, RED)


def test_an_answer_holds_ids_of_other_kinds_too_if_it_is_the_same_requests() -> None:
    assert other_path("https://{hostname}/me sub", ME, BLUE) == "sub"
    assert other_path("https://{hostname}/me a + b", ME, BLUE) == "a + b"
    assert other_path(kind_at(ME, BLUE), ME, BLUE) is None
    assert other_path("https://elsewhere.test/me sub", ME, BLUE) is None
    assert other_path("token sub", ME, BLUE) is None
    assert other_path(None, ME, BLUE) is None
    assert other_path(kind_at(HOSTED, BLUE), HOSTED, RED) is None, "its host was changed"
