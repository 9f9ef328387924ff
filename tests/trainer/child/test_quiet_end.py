"""The log of an attempt ends with what its code printed."""

import subprocess
import sys

CODE = """
import atexit, ctypes, os
from services.trainer.child.quiet_end import end_quietly

end_quietly()

class Left:
    def __del__(self, write=os.write):
        write(1, b"leaked functions")

left = Left()
atexit.register(print, "ended by Python")
ctypes.CDLL(None).puts(b"printed by C")
print("printed by Python", flush=True)
"""


def test_what_a_library_prints_after_the_end_of_python_is_left_out_and_all_before_it_stays() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)

    assert sorted(done.stdout.splitlines()) == ["ended by Python", "printed by C", "printed by Python"]
    assert done.stderr == ""
