"""Items: which images, in which batches, under which names."""

from cfexplain.audit.item import Item, batches, chosen


def test_a_limit_draws_by_name_whatever_the_order(lesions):
    one = {lesions.table.index[i] for i in chosen(lesions, 4)}
    turned = type("T", (), {"table": lesions.table.iloc[::-1]})()
    assert {turned.table.index[i] for i in chosen(turned, 4)} == one
    assert one <= {lesions.table.index[i] for i in chosen(lesions, 6)}
    assert chosen(lesions, None) == list(range(8))


def test_names_of_cases_are_safe_and_unique():
    odd = [Item(0, name, "auto", "../x") for name in ("a/../b", "a..b", "Ä" * 300, "")]
    cases = {item.case for item in odd}
    assert len(cases) == 4
    assert all(len(case) < 120 and "/" not in case and ".." not in case for case in cases)


def test_a_batch_is_of_one_classifier_and_single_items_keep_their_order():
    items = [Item(i, str(i), "auto", name) for i in range(3) for name in "ba"]
    assert [batch for (batch,) in batches(items, 1)] == items
    by_two = batches(items, 2)
    assert [len(batch) for batch in by_two] == [2, 1, 2, 1]
    assert all(len({item.classifier for item in batch}) == 1 for batch in by_two)
    assert {item.key for batch in by_two for item in batch} == {item.key for item in items}
