package main

import "testing"

// What a build names goes before what the Go tool noted.
func TestBuildVersion(t *testing.T) {
	t.Cleanup(func() { buildVersion = "" })
	noted := programVersion()
	if noted == "" {
		t.Error("a program without a version")
	}
	if buildVersion = "v1.2.3"; programVersion() != "v1.2.3" {
		t.Errorf("the program of version v1.2.3 says that it is %s", programVersion())
	}
}
