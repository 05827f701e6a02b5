//go:build !unix

package ways

import "time"

// processorTime cannot be told here.
func processorTime() time.Duration { return 0 }
