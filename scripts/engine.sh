# Source this in a script that needs a container engine. It ends the script when there is none, or when it is too old.

need_engine() {
    docker info >/dev/null 2>&1 && return
    echo "$1: no Docker engine answers (docker info)" >&2
    echo "$1: without Docker, .venv/bin/headgate up runs all services on this machine" >&2
    exit 1
}

# docker-compose.yml mounts a subfolder of a volume. Engines support this since 26, and Compose since 2.26.
need_compose() {
    need_engine "$1"
    local engine compose
    engine="$(docker version --format '{{.Server.Version}}')"
    at_least "$engine" 26 || too_old "$1" "Docker Engine $engine is too old: 26 or newer is needed"
    compose="$(docker compose version --short 2>/dev/null)" ||
        too_old "$1" "Docker has no Compose: install the Compose plugin, 2.26 or newer"
    at_least "${compose#v}" 2.26 || too_old "$1" "Docker Compose $compose is too old: 2.26 or newer is needed"
}

at_least() { [[ $(printf '%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

too_old() {
    echo "$1: $2" >&2
    exit 1
}
