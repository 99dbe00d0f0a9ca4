package confine

import "fmt"

// Force is what of the confinement is in force on a machine.
type Force struct {
	Landlock int // the kernel's Landlock ABI; 0 for none
}

// Check asks the kernel.
func Check() Force { return Force{Landlock: abi()} }

// TCP tells whether TCP is denied.
func (f Force) TCP() bool { return f.Landlock >= 4 }

// Sentence says it to an operator, with the mend.
func (f Force) Sentence() string {
	const always = "no environment, at most 64 open files, bounded memory, first to be ended if memory is short"
	switch {
	case f.Landlock == 0:
		return "ffmpeg runs with " + always + "; this kernel has no Landlock, so files and network are not shut off: use Linux 6.7 or later with landlock in its lsm= list"
	case !f.TCP():
		return fmt.Sprintf("ffmpeg runs with %s, and sees no file but its source (Landlock ABI %d); TCP is not shut off: use Linux 6.7 or later", always, f.Landlock)
	}
	return fmt.Sprintf("ffmpeg runs with %s, sees no file but its source, and has no TCP (Landlock ABI %d)", always, f.Landlock)
}
