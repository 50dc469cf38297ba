variable "gpu" {
  description = "The GPU of the service: accelerator (nvidia-l4 or nvidia-rtx-pro-6000), services (one for both lanes, or two) and max_instances of each, at most your quota. null = no GPU: Whisper on CPUs."
  type = object({
    accelerator   = optional(string, "nvidia-l4")
    services      = optional(string, "one")
    max_instances = optional(number, 3)
  })
  default = {}
}

variable "images" {
  description = "The two container images by digest, as cloudbuild.yaml pushed them. null = none were built yet: everything but the two services is made."
  type        = object({ service = string, gateway = string })
  default     = null
}

variable "prefix" {
  description = "What every name begins with."
  type        = string
  default     = "ew"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,6}$", var.prefix))
    error_message = "The prefix is 2 to 7 small letters and digits and begins with a letter: names of identities end at 30 characters."
  }
}

variable "project" {
  description = "Id of the Google Cloud project that everything is made in."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "The project is given by its id, such as my-recordings-4711: 6 to 30 small letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of the first stack, such as europe-west4."
  type        = string
}

variable "regions" {
  description = "More stacks by a short key (1 to 4 letters and digits), each in a region of its own: a tenant's recordings stay in the stack they are dropped into."
  type        = map(object({ region = string }))
  default     = {}
}

variable "viewers" {
  description = "IAM principals who may open the page: user:, group:, domain:, serviceAccount: or principal(Set)://."
  type        = set(string)
}
