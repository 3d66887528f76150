# shellcheck shell=sh
# Starts a sweep, $1, with the Python that runs Ray on this machine. Ray starts a job by a shell, whose `python`
# is the first on the path that `ray start` was called with: it need not be the one with Ray in it. The job's
# parent is a worker, that worker's parent is the raylet, and the raylet was told how to start workers.
raylet=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$PPID/status" 2>/dev/null)
own=$(tr '\0' '\n' <"/proc/$raylet/cmdline" 2>/dev/null |
    sed -n 's/^--python_worker_command=\([^ ]*\) .*/\1/p')
lacks='import importlib.util as u, sys
names = "stabsearch ray torch transformers accelerate optuna mlflow pandas pyarrow pydantic typer scipy"
lacking = [name for name in names.split() if not u.find_spec(name)]
print(*lacking)
sys.exit(len(lacking))'
found='there is no Python on the path'
for python in "$own" python3 python; do
    command -v "${python:-none}" >/dev/null || continue
    if missing=$("$python" -c "$lacks"); then
        exec "$python" -m stabsearch run "$1" --address auto
    fi
    case $found in there*) found="$python lacks: $missing" ;; esac
done
echo "the cluster's head cannot run stabsearch: $found" >&2
echo "  install what stabsearch needs into the image or environment that runs Ray" >&2
exit 2
