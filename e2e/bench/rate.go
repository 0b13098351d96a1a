package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// steady is the rate of one process that keeps signing.
func (b *bench) steady() error {
	for _, kind := range kinds {
		for _, threads := range []int{1, 8} {
			count := map[string]int{"rsa3072": 120, "p256": 800}[kind] / threads
			var ours, theirs []float64
			for range *rounds {
				for _, side := range []struct {
					env    []string
					module string
					to     *[]float64
				}{{b.service.env(), module(), &ours}, {b.theirs(), *hsm, &theirs}} {
					out, err := command(side.env, *host, side.module, "hash-signing/"+kind, "rate", strconv.Itoa(threads), strconv.Itoa(count))
					if err != nil {
						return err
					}
					rate, err := strconv.ParseFloat(strings.TrimSpace(out), 64)
					if err != nil {
						return err
					}
					*side.to = append(*side.to, rate)
				}
			}
			row(fmt.Sprintf("signatures per second, %s, %d threads : SoftHSM2", kind, threads), median(ours), median(theirs), "/s")
		}
	}
	return nil
}

// serviceCPU is the service's CPU time per signature under 32 keep-alive
// clients, every intent and outcome durable, against the bare key operation of Go
// and of the system's OpenSSL.
func (b *bench) serviceCPU() error {
	c, err := b.service.client()
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		n := map[string]int{"rsa3072": 600, "p256": 6000}[kind]
		raw, err := rawOperation(kind)
		if err != nil {
			return err
		}
		var ours, theirs, openSSL []float64
		for range *rounds {
			theirs = append(theirs, cpuOf(raw, n/4))
			t, err := openSSLOperation(kind)
			if err != nil {
				return err
			}
			openSSL = append(openSSL, t)
			before, err := processCPU(b.service.process.Process.Pid)
			if err != nil {
				return err
			}
			if err := b.load(c, kind, 32, n); err != nil {
				return err
			}
			after, err := processCPU(b.service.process.Process.Pid)
			if err != nil {
				return err
			}
			ours = append(ours, float64((after-before).Microseconds())/float64(n))
		}
		row("service CPU per signature, "+kind+", 32 clients : Go's key operation", median(ours), median(theirs), "us")
		row("service CPU per signature, "+kind+", 32 clients : OpenSSL's key operation", median(ours), median(openSSL), "us")
	}
	return nil
}

func (b *bench) load(c *http.Client, kind string, clients, n int) error {
	var left atomic.Int64
	left.Store(int64(n))
	errs := make(chan error, clients)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := b.service.sign(c, kind); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

func rawOperation(kind string) (func(), error) {
	sum := sha256.Sum256([]byte(kind))
	if kind == "p256" {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		return func() { _, _ = ecdsa.SignASN1(rand.Reader, k, sum[:]) }, err
	}
	k, err := rsa.GenerateKey(rand.Reader, 3072)
	return func() { _, _ = rsa.SignPKCS1v15(nil, k, crypto.SHA256, sum[:]) }, err
}

// openSSLOperation is the CPU time of one signature by the system's OpenSSL in
// microseconds, as `openssl speed` counts it.
func openSSLOperation(kind string) (float64, error) {
	name := map[string]string{"rsa3072": "rsa3072", "p256": "ecdsap256"}[kind]
	out, err := exec.Command("openssl", "speed", "-mr", "-seconds", "1", name).Output()
	if err != nil {
		return 0, fmt.Errorf("openssl speed: %w", err)
	}
	for l := range strings.Lines(string(out)) { // +F2:index:bits:signatures per second:verifications per second
		if f := strings.Split(strings.TrimSpace(l), ":"); len(f) == 5 && (f[0] == "+F2" || f[0] == "+F4") {
			v, err := strconv.ParseFloat(f[3], 64)
			if v < 1 { // OpenSSL 1.1: seconds per signature
				v = 1 / v
			}
			return 1e6 / v, err
		}
	}
	return 0, fmt.Errorf("openssl speed said %q", out)
}

// cpuOf is the CPU time of this process per call, in microseconds.
func cpuOf(f func(), n int) float64 {
	runtime.GC()
	before := ownCPU()
	for range n {
		f()
	}
	return float64((ownCPU() - before).Microseconds()) / float64(n)
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// processCPU reads user and system time of a process from /proc/PID/schedstat
// of all its threads (nanoseconds; stat has ticks of 10 ms only).
func processCPU(pid int) (time.Duration, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(tasks) == 0 {
		return 0, errors.New("the service's CPU time cannot be read")
	}
	var sum time.Duration
	for _, t := range tasks {
		text, err := os.ReadFile(t)
		if err != nil {
			continue // a thread that has just ended
		}
		ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}
