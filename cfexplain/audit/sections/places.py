"""Where the change is, and which region causes the flip."""

from cfexplain.audit.measure import column, line
from cfexplain.audit.region import PLACES
from cfexplain.audit.sections import Lines, Results, section
from cfexplain.statistics import bootstrap_mean


@section(40, "intervals", per_classifier=False)
def places(results: Results) -> Lines:
    """Where is the change, and which region causes the flip?

    Change: share of its energy. Effect: share of the flip that the change in this region causes alone; effects need
    not add up to 1. The border is a band around the outline, a tenth of the side wide.
    """
    for name, group in (("change", "place"), ("area", "area"), ("effect", "effect")):
        for classifier in results.classifiers:
            rows = results.of(classifier)
            for place in PLACES:
                interval = bootstrap_mean(column(rows, f"{group}.{place}"), rows["lesion_id"])
                yield from [line(name, f"{classifier}: {place}", interval)] if interval.n else []
