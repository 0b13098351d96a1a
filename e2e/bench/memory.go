package main

import "fmt"

// side is one of two things that are compared: a host's environment and its module.
type side struct {
	env    []string
	module string
}

// memory compares what the modules add to a host process: the pages it has in
// memory, and those of them that are its own and written to.
func (b *bench) memory() error {
	return b.addedMemory("", "SoftHSM2", hostSteps[:], side{b.service.env(), module()}, side{b.theirs(), *hsm})
}

// hostSteps are the moments at which the host program looks at its memory.
var hostSteps = [...]string{"after loading", "after C_Initialize", "after one signature"}

// addedMemory prints the rows of those steps that are asked for.
func (b *bench) addedMemory(with, baseline string, steps []string, sides ...side) error {
	type figures struct{ resident, dirty []float64 }
	found := make([][len(hostSteps)]figures, len(sides))
	for range *rounds {
		for n, s := range sides {
			out, err := command(s.env, *host, s.module, "hash-signing/p256", "memory")
			if err != nil {
				return err
			}
			var v [2 * len(hostSteps)]float64 // KiB
			if _, err := fmt.Sscan(out, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5]); err != nil {
				return fmt.Errorf("the host's answer %q: %w", out, err)
			}
			for i := range hostSteps {
				f := &found[n][i]
				f.resident, f.dirty = append(f.resident, v[2*i]/1024), append(f.dirty, v[2*i+1]/1024)
			}
		}
	}
	for _, step := range steps {
		for i := range hostSteps {
			if hostSteps[i] == step {
				ours, theirs := found[0][i], found[1][i]
				row("memory added to a host "+step+with+", resident : "+baseline, median(ours.resident), median(theirs.resident), "MiB")
				row("memory added to a host "+step+with+", private dirty : "+baseline, median(ours.dirty), median(theirs.dirty), "MiB")
			}
		}
	}
	return nil
}
