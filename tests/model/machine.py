"""The model as a state machine of hypothesis: any steps in any order."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.model.model import Model
from tests.model.rules import Rules
from tests.model.system.gateway import FATES

TWO = st.integers(0, 1)
AB = st.sampled_from("ABC")
CONSUMER = st.integers(0, 2)
COLOURS = st.sampled_from(("red", "blue", "red,blue"))


def search(
    rules: Rules, *, examples: int, steps: int = 40, derandomize: bool = True, shrink: bool = False
) -> None:
    """Plays that many random schedules. Raises Violated for the first that fails; its notes are the steps.

    `shrink` makes the steps fewer, which takes minutes; `derandomize` takes the same schedules each time.
    """
    phases = [Phase.generate, *([Phase.shrink] if shrink else [])]
    run_state_machine_as_test(
        machine(rules),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=derandomize,
            phases=phases,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def machine(rules: Rules) -> type[RuleBasedStateMachine]:
    """A state machine under these rules."""

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.model = Model(rules)

        def teardown(self) -> None:
            self.model.finish()

        @rule(
            gateway=TWO, colour=st.sampled_from(("red", "red", "blue")), fate=st.sampled_from(("now", *FATES))
        )
        def accept(self, gateway: int, colour: str, fate: str) -> None:
            self.model.accept(gateway, colour, fate)

        @rule(gateway=TWO)
        def post(self, gateway: int) -> None:
            self.model.post(gateway)

        @rule(gateway=TWO, part=st.sampled_from(("publish", "commit", "answer", "crash_gateway")))
        def accepting(self, gateway: int, part: str) -> None:
            getattr(self.model, part)(gateway)

        @rule(deliverer=TWO, ab=AB)
        def deliver(self, deliverer: int, ab: str) -> None:
            self.model.deliver(deliverer, ab)

        @rule(deliverer=TWO, ab=AB, part=st.sampled_from(("take", "probe")))
        def taking(self, deliverer: int, ab: str, part: str) -> None:
            getattr(self.model, part)(deliverer, ab)

        @rule(deliverer=TWO, part=st.sampled_from(("attempt", "settle", "flush", "crash_deliverer")))
        def delivering(self, deliverer: int, part: str) -> None:
            getattr(self.model, part)(deliverer)

        @rule(consumer=CONSUMER, part=st.sampled_from(("ask", "get", "fetch", "crash_consumer")))
        def fetching(self, consumer: int, part: str) -> None:
            getattr(self.model, part)(consumer)

        @rule(consumer=CONSUMER, of=CONSUMER, back=TWO, gateway=TWO)
        def acknowledge(self, consumer: int, of: int, back: int, gateway: int) -> None:
            self.model.acknowledge(consumer, of=of, back=back, gateway=gateway)

        @rule(consumer=CONSUMER)
        def fetch_and_acknowledge(self, consumer: int) -> None:
            self.model.fetch(consumer)
            self.model.acknowledge(consumer)

        @rule()
        def subscribe_pulled(self) -> None:
            self.model.subscribe("Q")

        @rule(ab=AB, works=st.booleans())
        def set_callback(self, ab: str, works: bool) -> None:
            self.model.set_callback(ab, works=works)

        @rule(ab=AB, colours=COLOURS)
        def subscribe(self, ab: str, colours: str) -> None:
            self.model.subscribe(ab, colours)

        @rule(ab=AB, held=st.booleans())
        def hold(self, ab: str, held: bool) -> None:
            self.model.hold(ab, held=held)

        @rule(ab=st.sampled_from("CCQP"))
        def remove(self, ab: str) -> None:
            self.model.remove(ab)

        @rule(process=st.sampled_from(("gateway 0", "deliverer 0", "keeper 0")))
        def refresh(self, process: str) -> None:
            self.model.refresh(process)

        @rule(keeper=TWO)
        def keep(self, keeper: int) -> None:
            self.model.keep(keeper)

        @rule(keeper=TWO)
        def decide(self, keeper: int) -> None:
            self.model.decide(keeper)

        @rule(keeper=TWO, dies=st.booleans())
        def give(self, keeper: int, dies: bool) -> None:
            self.model.give(keeper, dies=dies)

        @rule(part=st.sampled_from(("repair_first", "repair_second", "crash_router", "crash_keeper")))
        def repair(self, part: str) -> None:
            getattr(self.model, part)()

        @rule(
            fault=st.sampled_from(
                ("wipe", "delete_exchange", "stop_rabbitmq", "start_rabbitmq", "start_rabbitmq")
            )
        )
        def fault(self, fault: str) -> None:
            getattr(self.model, fault)()

        @rule(ab=AB, fault=st.sampled_from(("delete_queue", "purge", "dead_letter", "unbind")))
        def fault_of_queue(self, ab: str, fault: str) -> None:
            getattr(self.model, fault)(ab)

        @rule(ab=AB, leader=st.booleans())
        def set_leader(self, ab: str, leader: bool) -> None:
            self.model.set_leader(ab, leader=leader)

        @rule(part=st.sampled_from(("stop_ledger", "start_ledger", "start_ledger", "backup", "restore")))
        def ledger(self, part: str) -> None:
            getattr(self.model, part)()

        @rule(seconds=st.sampled_from((1, 3, 10, 60, 130, 600)))
        def advance(self, seconds: int) -> None:
            self.model.advance(seconds)

        @rule(seconds=st.sampled_from((10, 60)))
        def run_all(self, seconds: int) -> None:
            self.model.run(seconds)

    return Machine
