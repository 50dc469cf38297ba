variable "cascade" {
  description = "Engines of a task, first choice first, such as { transcribe = [\"qwen\", \"whisper\"] }; a task that is left out has the default of shared/settings.py: whisper hears, sounds names."
  type        = map(list(string))
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.cascade), ["transcribe", "classify", "describe", "answer", "embed", "align"])) == 0
    error_message = "A cascade is of transcribe, classify, describe, answer, embed or align."
  }
}

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

variable "engines" {
  description = "Engines by name, as EARWITNESS_ENGINES takes them (docs/deploy.md shows Qwen2-Audio and Wav2Vec2); added to whisper and sounds, or in their place. Only the images of the variant cuda hold what the kinds on torch need."
  type        = any
  default     = {}

  validation {
    condition     = can(keys(var.engines)) && alltrue([for engine in try(values(var.engines), []) : can(engine.kind)])
    error_message = "Engines are a map by name, and each says its kind: { qwen = { kind = \"qwen2_audio\", ... } }."
  }
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

variable "measurements_days" {
  description = "Days that a measurement is kept in BigQuery; 400 lets a month be compared with the same month a year ago."
  type        = number
  default     = 400

  validation {
    condition     = var.measurements_days >= 1 && var.measurements_days == floor(var.measurements_days)
    error_message = "Measurements are kept for whole days, one at least: give a number such as 400."
  }
}

variable "openai" {
  description = "Whether the secret PREFIX-openai-api-key has a version: the GPU service then has an engine called openai, for tenants that agreed to it. Before the first version it would not start."
  type        = bool
  default     = false
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

variable "tenant_writers" {
  description = "Who may drop recordings into a tenant's own folder without the gateway, and in which stack (home, or a key of regions): { acme = { members = [\"serviceAccount:drops@acme.iam.gserviceaccount.com\"] } }. They may create there and nothing else."
  type = map(object({
    members = set(string)
    stack   = optional(string, "home")
  }))
  default = {}

  validation {
    condition     = alltrue([for tenant in keys(var.tenant_writers) : can(regex("^[a-z0-9-]{3,40}$", tenant))])
    error_message = "A tenant's id has 3 to 40 small letters, digits and hyphens."
  }

  validation {
    condition = alltrue(flatten([
      for one in values(var.tenant_writers) :
      [for member in one.members : can(regex("^(user|group|domain|serviceAccount|principal|principalSet):.+$", member))]
    ]))
    error_message = "A tenant's writers are IAM principals: user:, group:, domain:, serviceAccount:, principal:// or principalSet://. Everybody (allUsers) is none."
  }

  validation {
    condition     = alltrue([for one in values(var.tenant_writers) : contains(concat(["home"], keys(var.regions)), one.stack)])
    error_message = "A tenant's stack is home, or a key of regions."
  }
}

variable "vector_dimension" {
  description = "Length of the vectors that recordings are compared by: twice the hidden size of the engine that makes them (means, then deviations). 1536 = wav2vec2-base; Firestore indexes at most 2048."
  type        = number
  default     = 1536

  validation {
    condition     = var.vector_dimension >= 1 && var.vector_dimension <= 2048 && var.vector_dimension == floor(var.vector_dimension)
    error_message = "Firestore indexes vectors of 1 to 2048 numbers: give twice the hidden size of the engine."
  }
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
