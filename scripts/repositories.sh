#!/usr/bin/env bash
# `repositories.sh FOLDER` makes a Git repository with one commit from each example, in this folder. Existing repositories
# are not changed.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1
# The trainer's container reads the files as another user.
umask 022

as_an_example=(-c user.name=Headgate -c user.email=examples@headgate.invalid -c commit.gpgsign=false)
for configuration in examples/*/headgate.toml; do
    example="$(dirname "$configuration")"
    repository="$folder/$(basename "$example")"
    [[ ! -e $repository/.git ]] || continue
    mkdir -p "$repository"
    cp -R "$example/." "$repository"
    # The overlays are only for the demo.
    rm -rf "$repository/commits"
    git -C "$repository" init --quiet --initial-branch=main
    git -C "$repository" add --all
    git -C "$repository" "${as_an_example[@]}" commit --quiet --message "The example $(basename "$example")"
    echo "repositories: $repository"
done
