"""What a task need not state: its labels where it has none, and its main metric by its default."""

from __future__ import annotations

from lushan.tasks.metrics import TaskMetrics


class Ranking(TaskMetrics):
    def __init__(self, *, monitor: str = "mrr") -> None:
        self.main_metric = monitor

    @classmethod
    def own_metrics(cls, node):
        return {}


class Open(Ranking):
    def __init__(self, *, monitor: str | None = None) -> None:
        super().__init__(monitor=monitor or "ndcg")


def test_the_monitored_metric_is_that_of_the_config_or_the_default():
    assert Ranking.monitored({}) == "mrr"
    assert Ranking.monitored({"monitor": "ndcg"}) == "ndcg"
    assert Open.monitored({}) is None


def test_a_task_without_classes_states_no_labels():
    made = Ranking()
    assert (list(made.labels), made.classes) == ([], 0)
    made.require_metrics()
