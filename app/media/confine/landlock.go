package confine

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// What a rule may grant; files know only the first two, without directories.
const (
	readFile = ll.AccessFSExecute | ll.AccessFSReadFile
	readDir  = readFile | ll.AccessFSReadDir
	use      = ll.AccessFSReadFile | ll.AccessFSWriteFile | ll.AccessFSTruncate
	writeDir = use | ll.AccessFSReadDir | ll.AccessFSMakeReg | ll.AccessFSRemoveFile
)

// Where the dynamic linker looks.
var libraries = [...]string{"/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib"}

const linkerCache = "/etc/ld.so.cache"

// rule grants access to a file, or to what is under a folder.
type rule struct {
	path   string
	access uint64
	must   bool // it is an error if the path is not there
}

func (p Policy) rules(program string) []rule {
	list := []rule{{program, readFile, true}, {linkerCache, ll.AccessFSReadFile, false}, {os.DevNull, use, false}}
	for _, path := range libraries {
		list = append(list, rule{path, readDir, false})
	}
	for _, path := range p.Read {
		list = append(list, rule{path, ll.AccessFSReadFile, true})
	}
	for _, path := range p.Write {
		list = append(list, rule{path, writeDir, true})
	}
	return list
}

// landlock restricts the calling thread. go-landlock's own entry point would
// restrict every thread of the process: hence the calls beneath it.
func (p Policy) landlock(program string) error {
	handled := handledBy(abi())
	if handled.HandledAccessFS == 0 {
		return nil
	}
	set, err := ll.LandlockCreateRuleset(&handled, 0)
	if err != nil {
		return fmt.Errorf("make a ruleset: %w", err)
	}
	defer syscall.Close(set) //nolint:errcheck // of a description in memory
	for _, r := range p.rules(program) {
		if err := r.add(set, handled.HandledAccessFS); err != nil {
			return err
		}
	}
	if p.Connect > 0 && handled.HandledAccessNet != 0 {
		err := ll.LandlockAddNetPortRule(set, &ll.NetPortAttr{AllowedAccess: ll.AccessNetConnectTCP, Port: uint64(p.Connect)}, 0)
		if err != nil {
			return fmt.Errorf("allow the port %d: %w", p.Connect, err)
		}
	}
	if err := ll.LandlockRestrictSelf(set, 0); err != nil {
		return fmt.Errorf("restrict a thread: %w", err)
	}
	return nil
}

func (r rule) add(set int, handled uint64) error {
	fd, err := syscall.Open(r.path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, syscall.ENOENT) && !r.must {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", r.path, err)
	}
	defer syscall.Close(fd) //nolint:errcheck // of a path alone
	err = ll.LandlockAddPathBeneathRule(set, &ll.PathBeneathAttr{AllowedAccess: r.access & handled, ParentFd: fd}, 0)
	if err != nil {
		return fmt.Errorf("allow %s: %w", r.path, err)
	}
	return nil
}

// handledBy is all that a kernel of an ABI can forbid.
func handledBy(abi int) (r ll.RulesetAttr) {
	bits := func(n int) uint64 { return 1<<n - 1 }
	switch {
	case abi >= 9:
		r.HandledAccessFS = bits(17)
	case abi >= 5:
		r.HandledAccessFS = bits(16)
	case abi >= 3:
		r.HandledAccessFS = bits(15)
	case abi >= 1:
		r.HandledAccessFS = bits(12 + abi)
	}
	if abi >= 4 {
		r.HandledAccessNet = ll.AccessNetBindTCP | ll.AccessNetConnectTCP
	}
	if abi >= 10 {
		r.HandledAccessNet |= ll.AccessNetBindUDP | ll.AccessNetConnectSendUDP
	}
	if abi >= 6 {
		r.Scoped = ll.ScopeAbstractUnixSocket | ll.ScopeSignal
	}
	return r
}

// abi is the kernel's Landlock ABI, 0 for none.
var abi = sync.OnceValue(func() int {
	v, err := ll.LandlockGetABIVersion()
	if err != nil {
		return 0
	}
	return max(0, v)
})
