#!/usr/bin/env bash
# Makes a Git repository of each example, with one commit, in the folder that is named: `repositories.sh FOLDER`. A
# repository that is there stays as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1
# The trainer's container reads them as another user.
umask 022

as_an_example=(-c user.name=Headgate -c user.email=examples@headgate.invalid -c commit.gpgsign=false)
for configuration in examples/*/headgate.toml; do
    example="$(dirname "$configuration")"
    repository="$folder/$(basename "$example")"
    [[ ! -e $repository/.git ]] || continue
    mkdir -p "$repository"
    cp -R "$example/." "$repository"
    # Other commits of the same example, for the demo to lay over it.
    rm -rf "$repository/commits"
    git -C "$repository" init --quiet --initial-branch=main
    git -C "$repository" add --all
    git -C "$repository" "${as_an_example[@]}" commit --quiet --message "The example $(basename "$example")"
    echo "repositories: $repository"
done
