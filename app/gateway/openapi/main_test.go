package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	const in = `{"paths": {
		"/api/v1/a": {
			"parameters": [{"description": "a\n b"}],
			"post": {"description": "Makes it.\n Answers 201 with a\n Location.", "responses": {"200": {"description": "Success", "content": {}}}},
			"delete": {"description": "Answers 204.", "responses": {"200": {"description": "Success", "content": {}}}},
			"get": {"description": "Plain.", "responses": {"200": {"description": "Success"}}}
		},
		"/v/{id}": {"get": {"responses": {"200": {"description": "Success"}}}}
	}}`
	const want = `{
  "paths": {
    "/api/v1/a": {
      "delete": {
        "description": "Answers 204.",
        "responses": {
          "204": {
            "description": "Success"
          },
          "default": {
            "$ref": "#/components/responses/Problem"
          }
        }
      },
      "get": {
        "description": "Plain.",
        "responses": {
          "200": {
            "description": "Success"
          },
          "default": {
            "$ref": "#/components/responses/Problem"
          }
        }
      },
      "parameters": [
        {
          "description": "a b"
        }
      ],
      "post": {
        "description": "Makes it. Answers 201 with a Location.",
        "responses": {
          "201": {
            "content": {},
            "description": "Success",
            "headers": {
              "Location": {
                "schema": {
                  "type": "string"
                }
              }
            }
          },
          "default": {
            "$ref": "#/components/responses/Problem"
          }
        }
      }
    },
    "/v/{id}": {
      "get": {
        "responses": {
          "200": {
            "description": "Success"
          }
        }
      }
    }
  }
}
`
	var out bytes.Buffer
	if err := run(strings.NewReader(in), &out); err != nil || out.String() != want {
		t.Errorf("run: %v\n%s", err, out.String())
	}
	for _, bad := range []string{"", "[]", "{}"} {
		if err := run(strings.NewReader(bad), &out); err == nil {
			t.Errorf("%q was taken for a document", bad)
		}
	}
}

// A finished document stays as it is: generating is idempotent.
func TestRunTwice(t *testing.T) {
	doc, err := os.ReadFile("../openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(bytes.NewReader(doc), &out); err != nil || out.String() != string(doc) {
		t.Errorf("the committed document changes when it is finished again: %v", err)
	}
}
