"""The container that `make test-images` runs has the limits and the rights of docker-compose.yml."""

import pytest

from tests.deploy.run_flags import Untranslated, run_flags
from tests.deploy.service_settings import SERVICES
from tests.deploy.test_compose import COMPOSE


@pytest.mark.parametrize("service", SERVICES)
def test_everything_that_compose_says_of_a_service_is_a_flag(service):
    flags = set(run_flags(COMPOSE["services"][service]))
    assert flags >= {"--read-only=true", "--cap-drop=ALL", "--security-opt=no-new-privileges:true", "--init=true"}
    assert flags >= {"--tmpfs=/tmp", "--pids-limit=512", "--stop-timeout=30"}
    assert "--health-cmd=python -m headgate.client.probe" in flags
    assert f"--memory={COMPOSE['services'][service]['mem_limit']}" in flags


def test_what_no_flag_is_known_for_is_not_left_out_in_silence():
    with pytest.raises(Untranslated, match="privileged"):
        run_flags({"privileged": True})
