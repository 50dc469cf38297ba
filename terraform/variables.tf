variable "cmek" {
  description = "Everything kept is encrypted with a key of yours, renewed every 90 days: about 0.06 USD a month for each version of it and 0.03 USD for 10,000 uses (list price, 2026-11-21). Choose before the first apply: what is there already would be made anew."
  type        = bool
  default     = false
}

variable "delete_protection" {
  description = "terraform destroy refuses while recordings, results, metadata, measurements or keys would be lost with it."
  type        = bool
  default     = true
}

variable "edge" {
  description = "A load balancer before the gateway, which then answers nowhere else: its domain, the networks that may ask (CIDR), and how many requests a minute each address has. About 25 USD a month for each stack, and 0.75 USD for a million requests (list price, 2026-11-21). null = none: the gateway has Google's address."
  type = object({
    domain              = string
    allow               = set(string)
    requests_per_minute = optional(number, 600)
  })
  default = null
}

variable "gpu" {
  description = "The GPU of the service: accelerator (nvidia-l4 or nvidia-rtx-pro-6000), services (one for both lanes, or two) and max_instances of each, at most your quota. null = no GPU: Whisper on CPUs."
  type = object({
    accelerator   = optional(string, "nvidia-l4")
    services      = optional(string, "one")
    max_instances = optional(number, 3)
  })
  default = {}
}

variable "high_min_instances" {
  description = "GPU instances that stand ready for the high lane day and night, in each stack: about 764 USD a month for each with an L4 (list price, 2026-11-21). 0 = the first recording after a pause waits for the start."
  type        = number
  default     = 0
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

variable "vpc" {
  description = "Gateway, service and functions call out through a network of yours only, over TLS and from one fixed address: about 4 USD a month for the address of each stack, about 1 USD for each instance that runs all month, and 0.045 USD a GiB (list price, 2026-11-21). Starts take up to 30 s longer."
  type        = bool
  default     = false
}

variable "zonal_redundancy" {
  description = "A GPU in another zone is kept for when one zone fails: a GPU second costs about 56 % more (list price, 2026-11-21), and its quota is an own one."
  type        = bool
  default     = false
}
