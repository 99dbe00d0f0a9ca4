package confine

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// confined runs a program under a policy.
func confined(t *testing.T, p Policy, program string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(program, args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	release, err := p.Start(cmd)
	if err != nil {
		return "", err
	}
	defer release()
	err = cmd.Wait()
	return out.String(), err
}

func TestWhatIsGivenCanBeUsed(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	if err := os.WriteFile(source, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := confined(t, Policy{Read: []string{source}}, "cat", source); err != nil || out != "hello" {
		t.Errorf("the source: %q, %v", out, err)
	}
	scratch := filepath.Join(dir, "scratch")
	if err := os.Mkdir(scratch, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := confined(t, Policy{Write: []string{scratch}}, "touch", filepath.Join(scratch, "new")); err != nil {
		t.Errorf("the scratch folder: %q, %v", out, err)
	}
	t.Setenv("SECRET", "leaked")
	if out, err := confined(t, Policy{}, "env"); err != nil || out != "" {
		t.Errorf("the environment: %q, %v", out, err)
	}
}

func TestWhatIsNotGivenCannot(t *testing.T) {
	if Check().Landlock == 0 {
		t.Skip("this kernel has no Landlock")
	}
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/etc/passwd", secret, "/proc/self/environ"} {
		if out, err := confined(t, Policy{}, "cat", path); err == nil {
			t.Errorf("%s can be read: %q", path, out)
		}
	}
	if _, err := confined(t, Policy{Read: []string{secret}}, "truncate", "-s", "0", secret); err == nil {
		t.Error("what may be read can be written")
	}
	if _, err := confined(t, Policy{}, "touch", filepath.Join(dir, "new")); err == nil {
		t.Error("a file can be made")
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("a file was made")
	}
}

func TestNoTCP(t *testing.T) {
	if !Check().TCP() {
		t.Skip("this kernel's Landlock cannot deny TCP")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	url := "http://" + ln.Addr().String() + "/"
	out, err := confined(t, Policy{}, "ffmpeg", "-v", "error", "-i", url)
	if err == nil || !strings.Contains(out, "Permission denied") {
		t.Errorf("ffmpeg reached %s: %q, %v", url, out, err)
	}
}

func TestOneTCPPort(t *testing.T) {
	if !Check().TCP() {
		t.Skip("this kernel's Landlock cannot deny TCP")
	}
	url, port := listenHTTP(t)
	other, _ := listenHTTP(t)
	out, err := confined(t, Policy{Connect: port}, "ffmpeg", "-v", "error", "-i", url)
	if !strings.Contains(out, "404 Not Found") {
		t.Errorf("ffmpeg did not reach %s: %q, %v", url, out, err)
	}
	out, err = confined(t, Policy{Connect: port}, "ffmpeg", "-v", "error", "-i", other)
	if err == nil || !strings.Contains(out, "Permission denied") {
		t.Errorf("ffmpeg reached %s: %q, %v", other, out, err)
	}
}

func listenHTTP(t *testing.T) (url string, port uint16) {
	srv := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	return srv.URL, netip.MustParseAddrPort(srv.Listener.Addr().String()).Port()
}

func TestLimits(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	release, err := Policy{Nice: 3, FileSize: 1000, AddressSpace: 1 << 30, CPU: 2 * time.Minute}.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	proc := "/proc/" + strconv.Itoa(cmd.Process.Pid)
	read := func(name string) string {
		data, err := os.ReadFile(proc + name)
		if err != nil {
			t.Error(err)
		}
		return string(data)
	}
	limits, score, status, stat := read("/limits"), read("/oom_score_adj"), read("/status"), strings.Fields(read("/stat"))
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	release()
	for _, want := range []string{
		"Max open files            64 ", "Max core file size        0 ",
		"Max cpu time              120 ", "Max file size             1000 ", "Max address space         1073741824 ",
	} {
		if !strings.Contains(limits, want) {
			t.Errorf("no %q in\n%s", want, limits)
		}
	}
	if score != "1000\n" || !strings.Contains(status, "NoNewPrivs:\t1") || stat[18] != "3" || stat[4] != stat[0] {
		t.Errorf("score %q, niceness %s, group %s of %s, status\n%s", score, stat[18], stat[4], stat[0], status)
	}
}

// This process goes on as it was: only threads that are thrown away are
// restricted.
func TestWeAreNotRestricted(t *testing.T) {
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if out, err := confined(t, Policy{Nice: 5}, "true"); err != nil {
				t.Errorf("true: %q, %v", out, err)
			}
		})
	}
	all.Wait()
	for range 50 {
		all.Go(func() {
			runtime.LockOSThread() // many threads, old ones and new
			defer runtime.UnlockOSThread()
			if _, err := os.ReadFile("/etc/passwd"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		still := restrictedThreads(t)
		if len(still) == 0 {
			return
		}
		if time.Now().After(deadline) { // one that ends may be seen for a moment
			t.Fatalf("threads %v are still restricted", still)
		}
	}
}

// restrictedThreads are those of this process that have the niceness of the
// test's policy.
func restrictedThreads(t *testing.T) (paths []string) {
	t.Helper()
	threads, err := filepath.Glob("/proc/self/task/*/stat")
	if err != nil || len(threads) == 0 {
		t.Fatal(threads, err)
	}
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		if nice := strings.Fields(string(stat))[18]; nice == "5" {
			paths = append(paths, path)
		}
	}
	return paths
}

// The child lives for as long as its caller wants, though threads come and go,
// and not a moment longer than its thread.
func TestItDiesWithItsThread(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	release, err := Policy{}.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	release() // as if this process died
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("it ended with %v", err)
	}
}

func TestWhatCannotBeStartedSaysSo(t *testing.T) {
	for name, try := range map[string]struct {
		policy  Policy
		program string
		says    string
	}{
		"no such program": {Policy{}, "/nowhere/ffmpeg", "/nowhere/ffmpeg"},
		"no such source":  {Policy{Read: []string{"/nowhere/source"}}, "/bin/true", "open /nowhere/source"},
		"no such folder":  {Policy{Write: []string{"/nowhere"}}, "/bin/true", "open /nowhere"},
	} {
		if _, err := confined(t, try.policy, try.program); err == nil || !strings.Contains(err.Error(), try.says) {
			if Check().Landlock > 0 || name == "no such program" {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestHandled(t *testing.T) {
	for abi, want := range map[int][3]uint64{
		0: {}, 1: {1<<13 - 1}, 2: {1<<14 - 1}, 3: {1<<15 - 1}, 4: {1<<15 - 1, 3}, 5: {1<<16 - 1, 3},
		6: {1<<16 - 1, 3, 3}, 8: {1<<16 - 1, 3, 3}, 9: {1<<17 - 1, 3, 3}, 10: {1<<17 - 1, 15, 3}, 99: {1<<17 - 1, 15, 3},
	} {
		if r := handledBy(abi); [3]uint64{r.HandledAccessFS, r.HandledAccessNet, r.Scoped} != want {
			t.Errorf("ABI %d: %+v", abi, r)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	for name, start := range map[string]func(*exec.Cmd) (func(), error){
		"plain":    func(cmd *exec.Cmd) (func(), error) { return func() {}, cmd.Start() },
		"confined": Policy{Read: []string{"/etc/passwd"}, Write: []string{os.TempDir()}}.Start,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				cmd := exec.Command("/bin/true")
				release, err := start(cmd)
				if err != nil {
					b.Fatal(err)
				}
				if err := cmd.Wait(); err != nil {
					b.Fatal(err)
				}
				release()
			}
		})
	}
}

func TestSentences(t *testing.T) {
	seen := map[string]bool{}
	for abi := range 6 {
		seen[strings.SplitN(Force{Landlock: abi}.Sentence(), "(", 2)[0]] = true
	}
	if len(seen) != 3 {
		t.Errorf("sentences: %v", seen)
	}
}
