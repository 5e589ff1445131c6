//! What the walks over objects have to know of a type, worked out once for each.
use irori_api::schema::{FieldForm, Form, Object, Schemas, Type};

use crate::{canonical, default};

/// The form of a type's objects.
pub(crate) fn form<'a>(schemas: &Schemas, of: &Type, shape: &'a Object) -> &'a Form {
    shape.form(|| {
        let mut fields = canonical::form_of_fields(schemas, of, shape);
        for (known, (_, field)) in fields.iter_mut().zip(&shape.fields) {
            known.default = field.default.clone().map(|default| default::filled(schemas, &field.of, default));
        }
        let places = |wanted: fn(&FieldForm) -> bool| {
            fields.iter().enumerate().filter(|(_, field)| wanted(field)).map(|(at, _)| at).collect()
        };
        Form {
            builtin: canonical::is_builtin(of),
            written: places(|field| field.absent.is_some()),
            defaulted: places(|field| field.default.is_some()),
            fields,
        }
    })
}
