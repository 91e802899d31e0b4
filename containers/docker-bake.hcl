// The images: docker buildx bake --file containers/docker-bake.hcl
// One target for each group of stages that needs the same packages, as `image` in their declarations says.

variable "BASE_IMAGE" { default = "python:3.11-slim" }
variable "GIT_COMMIT" { default = "" }
variable "REGISTRY" { default = "" } // with a slash at its end
variable "TAG" { default = "latest" }

group "default" { targets = ["data", "train"] }

target "common" {
  context    = "."
  dockerfile = "containers/Dockerfile"
  args = {
    BASE_IMAGE = BASE_IMAGE
    GIT_COMMIT = GIT_COMMIT
  }
}

target "data" {
  inherits = ["common"]
  target   = "data"
  tags     = ["${REGISTRY}temper-data:${TAG}"]
}

target "train" {
  inherits = ["common"]
  target   = "train"
  tags     = ["${REGISTRY}temper-train:${TAG}"]
}
