package main

import "fmt"

// memory compares what the modules add to a host process: the pages it has in
// memory, and those of them that are its own and written to.
func (b *bench) memory() error {
	steps := []string{"after loading", "after C_Initialize", "after one signature"}
	type figures struct{ resident, dirty []float64 }
	ours, theirs := make([]figures, len(steps)), make([]figures, len(steps))
	for range *rounds {
		for _, side := range []struct {
			env    []string
			module string
			to     []figures
		}{{b.service.env(), module(), ours}, {b.theirs(), *hsm, theirs}} {
			out, err := command(side.env, *host, side.module, "hash-signing/p256", "memory")
			if err != nil {
				return err
			}
			var v [6]float64 // KiB, two for each step
			if _, err := fmt.Sscan(out, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5]); err != nil {
				return fmt.Errorf("the host's answer %q: %w", out, err)
			}
			for i := range steps {
				side.to[i].resident = append(side.to[i].resident, v[2*i]/1024)
				side.to[i].dirty = append(side.to[i].dirty, v[2*i+1]/1024)
			}
		}
	}
	for i, step := range steps {
		row("memory added to a host "+step+", resident : SoftHSM2", median(ours[i].resident), median(theirs[i].resident), "MiB")
		row("memory added to a host "+step+", private dirty : SoftHSM2", median(ours[i].dirty), median(theirs[i].dirty), "MiB")
	}
	return nil
}
