"""The JSON Schema of an inventory file, for editors."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from fwfix.loading.documents import Document


class _Generator(GenerateJsonSchema):
    """Knows that an absent key is no `null`, and that names of other shapes than the pattern are errors."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Leave `null` out."""
        return self.generate_inner(schema["schema"])

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Refuse keys that are no names."""
        result = super().dict_schema(schema)
        return {**result, "additionalProperties": False} if "patternProperties" in result else result

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Leave defaults out: most of them are decided elsewhere."""
        return self.generate_inner(schema["schema"])


def inventory_schema() -> dict[str, Any]:
    """Return the schema as plain values."""
    schema = Document.model_json_schema(schema_generator=_Generator)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://fwfix.invalid/schema/inventory-1.json",
        "title": "fwfix inventory",
        **{key: value for key, value in schema.items() if key != "title"},
    }
