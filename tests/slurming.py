"""A Slurm of scripts, which say what those of Slurm 22.05.8 without accounting said: no daemon, no node.

`sbatch` takes an array and begins nothing. `jobs` lists what it took, as squeue prints it, one a line; a test changes
states there, and plays the nodes itself.
"""

import os
from pathlib import Path

SQUEUE = "#!/bin/sh\n[ -e {at}/away ] && {{ cat {at}/away >&2; exit 1; }}\ncat {at}/jobs\n"

SINFO = """#!/bin/sh
[ -e {at}/away ] && {{ cat {at}/away >&2; exit 1; }}
case "$*" in
*%c*--partition*) grep "^$(echo "$*" | sed 's/.*--partition //')" {at}/nodes ;;
*%c*) cat {at}/nodes ;;
*) cut -d'|' -f1 {at}/nodes | sort -u ;;
esac
"""

SCONTROL = """#!/bin/sh
[ "$2" = config ] && echo "MaxArraySize            = $(cat {at}/largest)"
[ "$2" = partition ] && echo "PartitionName=$3 OverSubscribe=$(cat {at}/oversubscribe) OverTimeLimit=NONE"
exit 0
"""

SACCT = '#!/bin/sh\necho "Slurm accounting storage is disabled" >&2\nexit 1\n'

SCANCEL = '#!/bin/sh\necho "$*" >> {at}/cancelled\n'

SBATCH = """#!/bin/sh
script=$1
name=$(sed -n 's/^#SBATCH --job-name=//p' $script)
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' $script)
count=$((${{last:-0}} + 1))
echo "$name $count" >> {at}/asked
if [ -e {at}/refuse ] && [ $count -gt $(cat {at}/takes) ]; then cat {at}/refuse >&2; exit 1; fi
cp $script {at}/$name.sh
job=$(( $(cat {at}/number) + 1 ))
echo $job > {at}/number
if [ -z "$last" ]; then echo "$name|$job|PENDING|Priority" >> {at}/jobs
else for i in $(seq 0 $last); do echo "$name|${{job}}_$i|PENDING|Priority" >> {at}/jobs; done; fi
echo "Submitted batch job $job"
"""

REFUSALS = {
    "account": "sbatch: error: Batch job submission failed: Invalid account or account/partition combination "
    "specified\n",
    "array": "sbatch: error: Batch job submission failed: Invalid job array specification\n",
    "gres": "sbatch: error: Batch job submission failed: Requested node configuration is not available\n",
    "limit": "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates "
    "accounting/QOS policy (job submit limit, user's size and/or time limits)\n",
    "away": "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)\n",
}
"""Those of an account and of a limit are as Slurm's source has them: they take accounting."""


class Slurm:
    """The scripts in a folder, and what they know."""

    def __init__(self, at: Path):
        self.at = at
        (at / "bin").mkdir()
        known = {"jobs": "", "number": "0\n", "largest": "1001\n", "oversubscribe": "NO\n"}
        known["nodes"] = "debug*|16|(null)\ndebug*|64|gpu:h100:4(S:0-1)\ngpu|64|gpu:h100:4(S:0-1)\n"
        for name, content in known.items():
            (at / name).write_text(content)
        scripts = {"squeue": SQUEUE, "sinfo": SINFO, "scontrol": SCONTROL, "sacct": SACCT, "scancel": SCANCEL}
        for name, text in {**scripts, "sbatch": SBATCH, "srun": "#!/bin/sh\nexit 1\n"}.items():
            path = at / "bin" / name
            path.write_text(text.format(at=at))
            path.chmod(0o755)

    @property
    def path(self) -> str:
        return f"{self.at / 'bin'}{os.pathsep}{os.environ['PATH']}"

    def jobs(self) -> list[list[str]]:
        return [line.split("|") for line in (self.at / "jobs").read_text().splitlines()]

    def becomes(self, state: str, reason: str = "None", only: str = "") -> None:
        """All jobs, or the one of a number, stand so."""
        lines = (
            f"{name}|{number}|{state}|{reason}" if not only or number == only else f"{name}|{number}|{was}|{why}"
            for name, number, was, why in self.jobs()
        )
        (self.at / "jobs").write_text("".join(f"{line}\n" for line in lines))

    def script(self) -> str:
        """Of the array that was submitted last."""
        return (self.at / f"{self.jobs()[-1][0]}.sh").read_text()

    def asked(self) -> list[int]:
        """Of how many jobs each array was that sbatch was given, taken or not."""
        return [int(line.split()[1]) for line in (self.at / "asked").read_text().splitlines()]

    def refuses(self, why: str, beyond: int = 0) -> None:
        """Arrays of more jobs than so many."""
        (self.at / "refuse").write_text(REFUSALS[why])
        (self.at / "takes").write_text(f"{beyond}\n")

    def takes(self) -> None:
        (self.at / "refuse").unlink()
