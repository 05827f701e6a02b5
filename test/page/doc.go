// Package page holds that the page of a running system shows what is so, in a real
// browser: Chromium, driven by its own protocol, on a demo of the whole chain in this
// process, and on two workers in processes of their own. Without a browser its tests
// are skipped, unless PAGE_TESTS=required. With PAGE_SHOTS set to a directory they leave
// screenshots there.
package page
