// Package confine starts a program that reads what strangers sent us so that
// it can do little harm: ffmpeg and ffprobe are large parsers of hostile files.
//
// # What
//
// The program is not started directly, but through our own binary, which takes
// from itself what the program does not need and then becomes it (execve): so
// the process id, the pipes and the exit code are the program's.
//
// # Usage
//
//	func main() {
//		confine.Main() // first of all: in the helper it does not return
//		…
//	}
//
//	argv, err := confine.Policy{Read: []string{source}, Write: []string{dir}}.Command(self, ffmpeg, args...)
//	cmd := exec.Command(argv[0], argv[1:]...)
//
// # Guarantees
//
// The program gets no environment, low limits (open files, size of a file,
// core dumps), is the first that the kernel ends for lack of memory, and cannot
// gain privileges. Where the kernel has Landlock (ABI 1 or later), it can read
// the libraries, itself and Read, and write under Write, and nothing else; from
// ABI 4 on it can neither make nor take TCP connections. Force tells what is in
// force here. A helper that cannot do what the kernel is able to does not start
// the program: exit code 125, with the reason on standard error.
//
// # Testing
//
// The tests run themselves as the helper and try what is forbidden.
package confine

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// flag is the first argument of our own binary that makes it a helper. No
// command of ours has such a name.
const flag = "--confined-child"

// ExitCode is a helper's that could not start its program.
const ExitCode = 125

// Policy is what a program may do. The zero value lets it read its own
// libraries, and its pipes.
type Policy struct {
	Read  []string `json:"read,omitempty"`  // files that it may read
	Write []string `json:"write,omitempty"` // folders under which it may read and write
	Nice  int      `json:"nice,omitempty"`  // added to its niceness, 0–19
}

const (
	maxFiles    = 64      // open at a time
	maxFileSize = 1 << 40 // bytes: a stop to what runs away, the disk's own limits come first
	oomScore    = "1000"  // the first to go
	libraries   = "/usr/lib /usr/lib64 /lib /lib64 /usr/local/lib"
	linkerCache = "/etc/ld.so.cache"
)

// Command is the command line that runs the program under the policy; self is
// the path of a binary whose main calls Main.
func (p Policy) Command(self, program string, args ...string) ([]string, error) {
	policy, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("write a policy: %w", err)
	}
	return append([]string{self, flag, string(policy), program}, args...), nil
}

// Main makes this process the program if it was started by a Command, and
// returns at once if it was not.
func Main() {
	if len(os.Args) < 4 || os.Args[1] != flag {
		return
	}
	err := become(os.Args[2], os.Args[3], os.Args[3:])
	fmt.Fprintf(os.Stderr, "confine %s: %v\n", os.Args[3], err)
	os.Exit(ExitCode)
}

// become returns only if it fails.
func become(policy, program string, argv []string) error {
	var p Policy
	if err := json.Unmarshal([]byte(policy), &p); err != nil {
		return fmt.Errorf("read the policy: %w", err)
	}
	if err := limit(p.Nice); err != nil {
		return err
	}
	if err := p.landlock(program); err != nil {
		return fmt.Errorf("apply Landlock: %w", err)
	}
	return fmt.Errorf("start it: %w", syscall.Exec(program, argv, []string{}))
}

func limit(nice int) error {
	if nice > 0 {
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, nice); err != nil {
			return fmt.Errorf("lower the priority by %d: %w", nice, err)
		}
	}
	for _, l := range []struct {
		resource int
		max      uint64
	}{{syscall.RLIMIT_NOFILE, maxFiles}, {syscall.RLIMIT_FSIZE, maxFileSize}, {syscall.RLIMIT_CORE, 0}} {
		now := syscall.Rlimit{}
		if err := syscall.Getrlimit(l.resource, &now); err != nil {
			return fmt.Errorf("read limit %d: %w", l.resource, err)
		}
		to := min(l.max, now.Max)
		if err := syscall.Setrlimit(l.resource, &syscall.Rlimit{Cur: to, Max: to}); err != nil {
			return fmt.Errorf("set limit %d to %d: %w", l.resource, to, err)
		}
	}
	// Where /proc is hidden the kernel's own choice stands.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(oomScore), 0) //nolint:gosec // exists
	return nil
}

func (p Policy) landlock(program string) error {
	rules := []landlock.Rule{
		landlock.RODirs(strings.Fields(libraries)...).IgnoreIfMissing(),
		landlock.ROFiles(program),
		landlock.ROFiles(linkerCache).IgnoreIfMissing(),
		landlock.RWFiles("/dev/null").IgnoreIfMissing(),
	}
	if len(p.Read) > 0 {
		rules = append(rules, landlock.ROFiles(p.Read...))
	}
	if len(p.Write) > 0 {
		rules = append(rules, landlock.RWDirs(p.Write...))
	}
	return landlock.V5.BestEffort().Restrict(rules...)
}

// Force is what of the confinement is in force on this machine.
type Force struct {
	Landlock int // the kernel's Landlock ABI; 0 for none
}

// Check asks the kernel.
func Check() Force {
	abi, err := ll.LandlockGetABIVersion()
	if err != nil || abi < 0 {
		abi = 0
	}
	return Force{Landlock: abi}
}

// TCP tells whether TCP is denied.
func (f Force) TCP() bool { return f.Landlock >= 4 }

// Sentence says it to an operator, with the mend.
func (f Force) Sentence() string {
	const always = "no environment, few open files, first to be ended for lack of memory"
	switch {
	case f.Landlock == 0:
		return "ffmpeg runs with " + always + "; this kernel has no Landlock, so files and network are not shut off: use Linux 6.7 or later with landlock in its lsm= list"
	case !f.TCP():
		return fmt.Sprintf("ffmpeg runs with %s, and sees no file but its source (Landlock ABI %d); TCP is not shut off: use Linux 6.7 or later", always, f.Landlock)
	}
	return fmt.Sprintf("ffmpeg runs with %s, sees no file but its source, and has no TCP (Landlock ABI %d)", always, f.Landlock)
}
