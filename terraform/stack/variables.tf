variable "archive" {
  description = "The functions' archive: its path here, and its name by content (empty: not made yet)."
  type        = object({ path = string, name = string })
}

variable "archive_after_days" {
  description = "As in the root; null = never."
  type        = number
}

variable "audit" {
  description = "How many days the bucket of seals keeps each, and whether that is locked for good."
  type        = object({ retention_days = number, locked = bool })
}

variable "cascade" {
  description = "As in the root."
  type        = map(list(string))
}

variable "channels" {
  description = "Notification channels that alerts go to; none = no alerts."
  type        = list(string)
}

variable "cmek" {
  description = "As in the root."
  type        = bool
}

variable "delete_protection" {
  description = "As in the root."
  type        = bool
}

variable "edge" {
  description = "As in the root, with the domain of this stack; null = no load balancer."
  type        = object({ domain = string, allow = set(string), requests_per_minute = number })
}

variable "engines" {
  description = "As in the root."
  type        = any
}

variable "gpu" {
  description = "As in the root; null = CPUs only."
  type        = object({ accelerator = string, services = string, max_instances = number })
}

variable "high_min_instances" {
  description = "As in the root."
  type        = number
}

variable "images" {
  description = "As in the root; null = the two services are not made."
  type        = object({ service = string, gateway = string })
}

variable "measurements_days" {
  description = "As in the root."
  type        = number
}

variable "name" {
  description = "What every name of this stack begins with."
  type        = string
}

variable "openai" {
  description = "As in the root."
  type        = bool
}

variable "project" {
  description = "Id of the project."
  type        = string
}

variable "project_number" {
  description = "Number of the project: Google's own agents carry it in their names."
  type        = string
}

variable "region" {
  description = "Region of everything in this stack."
  type        = string
}

variable "soft_delete_s" {
  description = "Seconds that buckets keep what was deleted or replaced, while delete_protection is on."
  type        = number
}

variable "tenants" {
  description = "The tenants of this stack: the tier each begins with, and who may drop recordings into its folder."
  type        = map(object({ tier = string, writers = set(string) }))
}

variable "vector_dimension" {
  description = "As in the root."
  type        = number
}

variable "viewers" {
  description = "IAM principals who may open the page."
  type        = set(string)
}

variable "vpc" {
  description = "As in the root."
  type        = bool
}

variable "zonal_redundancy" {
  description = "As in the root."
  type        = bool
}
