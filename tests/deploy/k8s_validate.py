"""`make k8s-validate` builds each overlay of k8s/ and checks every object against its schema and the rules, offline."""

import sys

from tests.deploy import cluster_policies, pod_policies
from tests.deploy.manifests import KUBERNETES, OVERLAYS, objects, problems


def main() -> int:
    """Prints one line for each overlay and each problem. Returns the exit code."""
    failed = False
    for overlay in OVERLAYS:
        built = objects(overlay)
        found = [problem for each in built for problem in problems(each)]
        for rule in (*pod_policies.RULES, *cluster_policies.RULES):
            found += [f"{rule.__name__}: {problem}" for problem in rule(built)]
        print(f"{overlay}: {len(built)} objects for Kubernetes {KUBERNETES}, {len(found)} problems")
        for problem in found:
            print(f"  {problem}", file=sys.stderr)
        failed = failed or bool(found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
